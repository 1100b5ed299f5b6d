package main

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math"
	"os"
	"strings"

	"github.com/zim-go/zim/backend"
	"github.com/zim-go/zim/token"
)

// appFlags say which app it is. The secret itself is never an argument: everybody on the machine can read those.
type appFlags struct {
	AppID         uint32 `name:"app-id" help:"The app's ID." placeholder:"N" env:"ZIM_APP_ID" group:"App"`
	AppSecretFile string `help:"File with the app's secret, 32 bytes. Without it, the secret is taken from $$ZIM_APP_SECRET." placeholder:"PATH" env:"ZIM_APP_SECRET_FILE" group:"App"`
}

func (f *appFlags) secret() (token.Secret, error) {
	return readSecret("app-secret", f.AppSecretFile, "ZIM_APP_SECRET")
}

// secretSource names where the secret is.
func (f *appFlags) secretSource() string {
	if f.AppSecretFile != "" {
		return f.AppSecretFile
	}
	return "$ZIM_APP_SECRET"
}

// secrets returns the current secret, which is given, and the previous one, as far as there are any.
func (f *serviceFlags) secrets(current token.Secret) (list []token.Secret, err error) {
	previous, err := readSecret("app-secret-previous", f.AppSecretPreviousFile, "ZIM_APP_SECRET_PREVIOUS")
	for _, s := range []token.Secret{current, previous} {
		if s != "" {
			list = append(list, s)
		}
	}
	return list, err
}

// readSecret returns the secret in a file or an environment variable, or nothing if there is neither.
func readSecret(name, file, variable string) (token.Secret, error) {
	value, source := os.Getenv(variable), "$"+variable
	if file != "" {
		if value != "" {
			return "", fmt.Errorf("--%s-file and $%s are both set: which one is meant?", name, variable)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			return "", fmt.Errorf("--%s-file: %w", name, err)
		}
		value, source = strings.TrimRight(string(b), "\r\n"), file
		if value == "" {
			return "", fmt.Errorf("--%s-file: %s is empty", name, file)
		}
	}
	const size = 32
	if value != "" && len(value) != size {
		return "", fmt.Errorf("the secret in %s has %d bytes, it must have %d", source, len(value), size)
	}
	return token.Secret(value), nil
}

// serviceFlags say what the app is offered.
type serviceFlags struct {
	appFlags
	AppSecretPreviousFile string  `help:"File with the secret that is being replaced: tokens made with it are still good. Or $$ZIM_APP_SECRET_PREVIOUS." placeholder:"PATH" env:"ZIM_APP_SECRET_PREVIOUS_FILE" group:"App"`
	RejectCBC             bool    `name:"reject-cbc" help:"Take a token04 only in its newer form, AES-GCM." env:"ZIM_REJECT_CBC" group:"App"`
	JWTKeyFile            string  `name:"jwt-key-file" help:"PEM file with the public key of JWTs: Ed25519, P-256 or RSA." placeholder:"PATH" env:"ZIM_JWT_KEY_FILE" group:"App"`
	JWTKeyID              string  `name:"jwt-key-id" help:"The key ID (kid) that the JWTs name." placeholder:"ID" env:"ZIM_JWT_KEY_ID" group:"App"`
	Devices               string  `help:"How many devices of a user may be online: single (one), dual (one native, one web) or multi (ten of each)." enum:"single,dual,multi" default:"single" env:"ZIM_DEVICES" group:"App"`
	SendRate              float64 `help:"Messages that a client may send in a second in the long run, and twice as many of high priority. Negative means no limit." default:"10" env:"ZIM_SEND_RATE" group:"App"`
	SendBurst             int     `help:"Messages that a client may send at once. 0 means 31 seconds' worth." default:"0" env:"ZIM_SEND_BURST" group:"App"`
}

// app returns the app. Its current secret is given, so that one can be made up.
func (f *serviceFlags) app(secret token.Secret) (backend.App, error) {
	config := token.Config{AppID: f.AppID, RejectCBC: f.RejectCBC}
	var err error
	if config.Secrets, err = f.secrets(secret); err != nil {
		return backend.App{}, err
	}
	if f.JWTKeyFile != "" {
		key, err := readPublicKey(f.JWTKeyFile)
		if err != nil {
			return backend.App{}, fmt.Errorf("--jwt-key-file: %w", err)
		}
		key.ID = f.JWTKeyID
		config.JWTKeys = []token.JWTKey{key}
	}
	switch {
	case f.AppID == 0:
		return backend.App{}, errors.New("which app? Set --app-id, or try --dev")
	case len(config.Secrets) == 0 && len(config.JWTKeys) == 0:
		return backend.App{}, errors.New("nothing verifies login tokens: set $ZIM_APP_SECRET, --app-secret-file or --jwt-key-file, or try --dev")
	case f.SendRate == 0 || math.IsNaN(f.SendRate) || math.IsInf(f.SendRate, 0):
		return backend.App{}, fmt.Errorf("--send-rate is %v: for no limit, use -1", f.SendRate)
	case f.SendBurst < 0:
		return backend.App{}, fmt.Errorf("--send-burst is %d: for no limit, use --send-rate=-1", f.SendBurst)
	}
	verifier, err := token.NewVerifier(config)
	if err != nil {
		return backend.App{}, err
	}
	return backend.App{
		ID:       f.AppID,
		Verifier: verifier,
		Devices: map[string]backend.DevicePolicy{
			"single": backend.SingleDevice, "dual": backend.DualDevice, "multi": backend.MultiDevice,
		}[f.Devices],
		Limits: backend.Limits{SendRate: f.SendRate, SendBurst: f.SendBurst},
	}, nil
}

// readPublicKey reads a key. Its type tells the one algorithm that it is good for.
func readPublicKey(path string) (token.JWTKey, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return token.JWTKey{}, err
	}
	block, _ := pem.Decode(b)
	switch {
	case block == nil:
		return token.JWTKey{}, fmt.Errorf("%s is not PEM", path)
	case strings.HasSuffix(block.Type, "PRIVATE KEY"):
		return token.JWTKey{}, fmt.Errorf("%s holds a private key, which belongs to the issuer alone: see openssl pkey -pubout", path)
	case block.Type != "PUBLIC KEY":
		return token.JWTKey{}, fmt.Errorf("%s holds a %s, it must be a PUBLIC KEY", path, block.Type)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return token.JWTKey{}, fmt.Errorf("%s: %w", path, err)
	}
	switch key.(type) {
	case ed25519.PublicKey:
		return token.JWTKey{Algorithm: token.AlgorithmEdDSA, Key: key}, nil
	case *ecdsa.PublicKey:
		return token.JWTKey{Algorithm: token.AlgorithmES256, Key: key}, nil
	case *rsa.PublicKey:
		return token.JWTKey{Algorithm: token.AlgorithmRS256, Key: key}, nil
	}
	return token.JWTKey{}, fmt.Errorf("%s holds a key of a kind that signs no JWTs: it must be Ed25519, P-256 or RSA", path)
}
