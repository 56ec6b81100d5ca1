PRAGMA application_id = 1414021957;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE digests (node TEXT PRIMARY KEY, count INTEGER NOT NULL, sum INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "digests" VALUES('n1',5,6438219477310792907);
CREATE TABLE journal (
                seq INTEGER PRIMARY KEY AUTOINCREMENT,
                ts INTEGER NOT NULL,
                level TEXT NOT NULL CHECK (level IN ('info', 'warning', 'error')),
                kind TEXT NOT NULL,
                node TEXT,
                text TEXT NOT NULL
            ) STRICT;
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','3d73bedfe37be1f1');
CREATE TABLE nodes (
                name TEXT PRIMARY KEY,
                url TEXT NOT NULL,
                removed INTEGER NOT NULL DEFAULT 0,
                tidemark_epoch TEXT,
                tidemark_position INTEGER,
                comparison TEXT
            ) STRICT;
INSERT INTO "nodes" VALUES('n1','http://127.0.0.1:1',0,NULL,NULL,NULL);
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
INSERT INTO "records" VALUES(1,X'0199C82CC0007261AF037B97235458DD','n1',1760000000000000,'t','{"n": 0}',8573632374425255682);
INSERT INTO "records" VALUES(2,X'0199C82CC3E8712AA96DCAEBD4553EC3','n1',1760000001000000,'t','{"n": 1}',678559878929418994);
INSERT INTO "records" VALUES(3,X'0199C82CC7D07220AC8199A15181A3DC','n1',1760000002000000,'t','{"n": 2}',5922068057841016014);
INSERT INTO "records" VALUES(4,X'0199C82CCBB8772B95ED4EF8D0D7B46D','n1',1760000003000000,'t','{"n": 3}',4536733874447899876);
INSERT INTO "records" VALUES(5,X'0199C82CCFA0758286E1FFDFE1C40F54','n1',1760000004000000,'t','{"n": 4}',5173969365376753957);
CREATE TABLE runs (
                id INTEGER PRIMARY KEY AUTOINCREMENT,
                node TEXT NOT NULL,
                state TEXT NOT NULL,
                run TEXT NOT NULL
            ) STRICT;
CREATE TRIGGER records_added AFTER INSERT ON records BEGIN
        INSERT INTO digests VALUES (new.node, 1, new.hash)
        ON CONFLICT (node) DO UPDATE SET count = count + 1, sum = ((sum - 9223372036854775807 + new.hash) - 1) & 9223372036854775807;
    END;
CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
        UPDATE digests SET count = count - 1, sum = (sum - old.hash) & 9223372036854775807 WHERE node = old.node;
    END;
CREATE TRIGGER records_unchanged BEFORE UPDATE ON records BEGIN
        SELECT RAISE(ABORT, 'a record is never changed');
    END;
CREATE TRIGGER records_unreplaced BEFORE INSERT ON records
    WHEN EXISTS (SELECT 1 FROM records WHERE node = new.node AND id = new.id)
    BEGIN
        SELECT RAISE(ABORT, 'a record is never replaced');
    END;
CREATE INDEX runs_open ON runs (id) WHERE state IN ('queued', 'waiting', 'running');
CREATE INDEX runs_of_node ON runs (node, id);
CREATE INDEX journal_of_node ON journal (node, seq);
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('records',5);
COMMIT;
