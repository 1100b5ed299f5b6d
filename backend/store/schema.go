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
`, `
	-- 1 counts as unread, 2 was revoked, 4 has receipts, 8 has reactions, 16 mentions somebody.
	ALTER TABLE message ADD COLUMN flags INTEGER NOT NULL DEFAULT 1;
	-- How many messages that count the conversation has up to this one, and how many of them are of this one's sender. What a
	-- user has not read is the difference of two such numbers: no row of a reader is written for a message that comes.
	ALTER TABLE message ADD COLUMN total INTEGER NOT NULL DEFAULT 0;
	ALTER TABLE message ADD COLUMN own INTEGER NOT NULL DEFAULT 0;
	-- A wire.Message with what few messages have. It is laid over the rest.
	ALTER TABLE message ADD COLUMN more BLOB;
	UPDATE message SET total = place & 0xffffffff, own = w.n FROM
		(SELECT place AS p, row_number() OVER (PARTITION BY place >> 32, sender ORDER BY place) AS n FROM message) AS w WHERE place = w.p;

	-- A wire.Event, in which messages are named by their places. Null: a message came, and that is all.
	ALTER TABLE event ADD COLUMN data BLOB;

	-- Who is, or was, in a conversation, and what it is for that user.
	CREATE TABLE member (
		user         INTEGER NOT NULL REFERENCES user (id),
		conversation INTEGER NOT NULL REFERENCES conversation (id),
		role       INTEGER NOT NULL, -- in a group
		entered    INTEGER NOT NULL, -- Unix milliseconds
		enter_type INTEGER NOT NULL,
		operator   TEXT NOT NULL,    -- who brought the user in
		joined     INTEGER NOT NULL, -- messages up to this number are not the user's to see
		gone       INTEGER NOT NULL, -- 0, or the number of the first message that the user is not to see any more
		gone_total INTEGER NOT NULL, -- 0, or the total of the message before
		own        INTEGER NOT NULL, -- in a group: the user's messages that count
		base       INTEGER NOT NULL, -- unread is: messages that count and are of others, less this
		seen       INTEGER NOT NULL, -- read up to this number
		receipt    INTEGER NOT NULL, -- said to be read up to this number
		cleared    INTEGER NOT NULL, -- deleted up to this number
		hides      INTEGER NOT NULL, -- not in the list until a message behind this number comes
		pinned     INTEGER NOT NULL, -- 0, or since when, in Unix milliseconds
		muted      INTEGER NOT NULL,
		marks      BLOB NOT NULL,    -- a byte a mark
		marked     INTEGER NOT NULL, -- 0, or since when, in Unix milliseconds
		PRIMARY KEY (user, conversation)
	) WITHOUT ROWID;
	CREATE INDEX member_conversation ON member (conversation, entered);
	INSERT INTO member SELECT u.id, c.id, 0, 0, 0, '', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, x'', 0
		FROM conversation c JOIN user u ON u.app_id = c.app_id AND u.user_id IN (c.a, c.b);

	CREATE TABLE grp (
		conversation INTEGER PRIMARY KEY REFERENCES conversation (id),
		name    TEXT NOT NULL,
		avatar  TEXT NOT NULL,
		notice  TEXT NOT NULL,
		created INTEGER NOT NULL, -- Unix milliseconds
		max_members    INTEGER NOT NULL,
		join_mode      INTEGER NOT NULL,
		invite_mode    INTEGER NOT NULL,
		be_invite_mode INTEGER NOT NULL,
		dismissed      INTEGER NOT NULL DEFAULT 0
	);

	-- Messages that a user has deleted.
	CREATE TABLE hidden (user INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (user, place)) WITHOUT ROWID;
	-- Whom messages mention; user 0 is everybody.
	CREATE TABLE mention (user INTEGER NOT NULL, place INTEGER NOT NULL, PRIMARY KEY (user, place)) WITHOUT ROWID;
	CREATE TABLE receipt (place INTEGER NOT NULL, user INTEGER NOT NULL, time INTEGER NOT NULL, PRIMARY KEY (place, user)) WITHOUT ROWID;
	CREATE TABLE reaction (
		place INTEGER NOT NULL,
		type  TEXT NOT NULL,
		user  INTEGER NOT NULL,
		count INTEGER NOT NULL,
		time  INTEGER NOT NULL,
		PRIMARY KEY (place, type, user)
	) WITHOUT ROWID;
	CREATE TABLE reply (root INTEGER NOT NULL, place INTEGER NOT NULL, source INTEGER NOT NULL, PRIMARY KEY (root, place)) WITHOUT ROWID;
	CREATE INDEX reply_source ON reply (source, place);
	CREATE TABLE pin (place INTEGER PRIMARY KEY, user TEXT NOT NULL, time INTEGER NOT NULL);
	-- What combine messages combine: copies.
	CREATE TABLE combined (id TEXT NOT NULL, n INTEGER NOT NULL, message BLOB NOT NULL, PRIMARY KEY (id, n)) WITHOUT ROWID;
`, `
	-- What apps' servers are to be told.
	CREATE TABLE callback (
		id     INTEGER PRIMARY KEY,
		app_id INTEGER NOT NULL,
		event  TEXT NOT NULL,
		nonce  TEXT NOT NULL,
		stamp  INTEGER NOT NULL, -- Unix seconds, as they are signed
		body   BLOB NOT NULL,    -- an object of JSON, without what all callbacks have
		tries  INTEGER NOT NULL,
		due    INTEGER NOT NULL, -- Unix milliseconds: when to try next
		dead   INTEGER NOT NULL  -- 0, or since when nobody tries any more, in Unix milliseconds
	);
	CREATE INDEX callback_due ON callback (app_id, event, dead, due);
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
