PRAGMA application_id = 1414021957;
PRAGMA user_version = 2;
BEGIN TRANSACTION;
CREATE TABLE digests (
        node   TEXT NOT NULL,
        window TEXT NOT NULL,
        count  INTEGER NOT NULL,
        sum    INTEGER NOT NULL,
        state  TEXT NOT NULL CHECK (state IN ('leaf', 'split', 'dropped')),
        PRIMARY KEY (node, window)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE folded (position INTEGER NOT NULL) STRICT;
INSERT INTO "folded" VALUES(0);
CREATE TABLE journal (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                ts INTEGER NOT NULL,
                level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
                kind TEXT NOT NULL,
                node TEXT,
                text TEXT NOT NULL
            ) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','9d53de4f37443d95');
CREATE TABLE nodes (
                name TEXT PRIMARY KEY,
                url TEXT NOT NULL,
                removed INTEGER NOT NULL DEFAULT 0,
                tidemark_epoch TEXT,
                tidemark_position INTEGER,
                comparison TEXT
            , head TEXT, announced TEXT, loss TEXT, pull_every REAL) STRICT;
INSERT INTO "nodes" VALUES('n1','http://127.0.0.1:1',0,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE quarantine (
                node TEXT NOT NULL,
                code TEXT NOT NULL,
                row TEXT NOT NULL,
                detail TEXT NOT NULL,
                seen INTEGER NOT NULL,
                PRIMARY KEY (node, code, row)
            ) STRICT;
CREATE TABLE records (
        position INTEGER PRIMARY KEY AUTOINCREMENT,
        id       BLOB NOT NULL CHECK (length(id) = 16),
        node     TEXT NOT NULL CHECK (length(node) BETWEEN 1 AND 64),
        ts       INTEGER NOT NULL,
        stream   TEXT NOT NULL CHECK (length(stream) BETWEEN 1 AND 64),
        payload  TEXT NOT NULL CHECK (length(payload) <= 65536),
        hash     INTEGER NOT NULL CHECK (hash >= 0),
        UNIQUE (node, id)
    ) STRICT;
CREATE TABLE removed (node TEXT, id BLOB, position INTEGER, hash INTEGER) STRICT;
CREATE TABLE runs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                node TEXT NOT NULL,
                state TEXT NOT NULL,
                run TEXT NOT NULL
            ) STRICT;
CREATE TRIGGER records_unchanged BEFORE UPDATE ON records BEGIN
        SELECT RAISE(ABORT, 'a record is never changed');
    END;
CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'waiting', 'running');
CREATE INDEX runs_of_node ON runs (node, id);
CREATE INDEX journal_of_node ON journal (node, seq);
CREATE INDEX digests_dropped ON digests (node, window) WHERE state = 'dropped';
CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
        INSERT INTO removed VALUES (old.node, old.id, old.position, old.hash);
    END;
DELETE FROM "sqlite_sequence";
COMMIT;
