package store

import (
	"errors"
	"fmt"

	"zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"
)

// migrations are the steps from an empty file to the schema. Steps that were released don't change.
//
// A place is a 64-bit number made of a 32-bit row ID and a 32-bit sequence number. It is the key of a table that belongs
// together by that row: messages by conversation, and events by user.
var migrations = []string{`
	CREATE TABLE meta (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

	CREATE TABLE user (
		id      INTEGER PRIMARY KEY,
		app_id  INTEGER NOT NULL,
		user_id TEXT NOT NULL,
		name    TEXT NOT NULL,
		custom_status      TEXT NOT NULL DEFAULT '',
		custom_status_ends INTEGER NOT NULL DEFAULT 0, -- Unix milliseconds, -1 for never
		created INTEGER NOT NULL,
		UNIQUE (app_id, user_id)
	);

	-- How far a device has handled its user's events.
	CREATE TABLE device (
		user      INTEGER NOT NULL REFERENCES user (id),
		device_id TEXT NOT NULL,
		handled   INTEGER NOT NULL,
		PRIMARY KEY (user, device_id)
	) WITHOUT ROWID;

	-- The runs of clients that logged in. A run that was evicted must not come back.
	CREATE TABLE login (
		user       INTEGER NOT NULL REFERENCES user (id),
		instance   BLOB NOT NULL,
		generation INTEGER NOT NULL, -- larger is later
		device_id  TEXT NOT NULL,
		platform   INTEGER NOT NULL,
		evicted_by INTEGER,          -- the platform that took over, null while the run is welcome
		PRIMARY KEY (user, instance)
	) WITHOUT ROWID;

	CREATE TABLE conversation (
		id     INTEGER PRIMARY KEY,
		app_id INTEGER NOT NULL,
		type   INTEGER NOT NULL,
		a      TEXT NOT NULL, -- in a peer conversation the smaller user ID
		b      TEXT NOT NULL, -- in a peer conversation the larger user ID
		UNIQUE (app_id, type, a, b)
	);

	CREATE TABLE message (
		place     INTEGER PRIMARY KEY, -- conversation and sequence number
		id        INTEGER NOT NULL,
		sender    INTEGER NOT NULL REFERENCES user (id),
		client_id BLOB NOT NULL,
		hash      BLOB NOT NULL,       -- of what the sender asked for, whatever becomes of it
		time      INTEGER NOT NULL,    -- Unix milliseconds
		type      INTEGER NOT NULL,
		priority  INTEGER NOT NULL,
		content   BLOB NOT NULL,
		extended  TEXT NOT NULL
	);
	CREATE UNIQUE INDEX message_client ON message (place >> 32, sender, client_id);

	-- What users must not miss.
	CREATE TABLE event (
		place INTEGER PRIMARY KEY, -- user and sequence number
		kind  INTEGER NOT NULL,
		ref   INTEGER NOT NULL,    -- kind 1: the place of the message
		time  INTEGER NOT NULL     -- Unix milliseconds
	);
`}

func migrate(conn *sqlite.Conn) error {
	version, err := sqlitex.ResultInt(conn.Prep("PRAGMA user_version"))
	if err != nil {
		return err
	}
	if version == 0 {
		tables, err := sqlitex.ResultInt(conn.Prep("SELECT count(*) FROM sqlite_schema"))
		if err != nil {
			return err
		}
		if tables > 0 {
			return errors.New("it is the database of another program")
		}
	}
	if version < 0 || version > len(migrations) {
		return fmt.Errorf("its schema has version %d, this program knows %d", version, len(migrations))
	}
	for ; version < len(migrations); version++ {
		script := fmt.Sprintf("%s; PRAGMA user_version = %d;", migrations[version], version+1)
		if err := sqlitex.ExecuteScript(conn, script, nil); err != nil {
			return fmt.Errorf("migration to version %d: %w", version+1, err)
		}
	}
	return nil
}
