PRAGMA application_id = 1414024772;
PRAGMA user_version = 3;
BEGIN TRANSACTION;
CREATE TABLE digests (
        node   TEXT NOT NULL,
        window TEXT NOT NULL,
        count  INTEGER NOT NULL,
        sum    INTEGER NOT NULL,
        state  TEXT NOT NULL CHECK (state IN ('leaf', 'split', 'dropped')),
        PRIMARY KEY (node, window)
    ) STRICT, WITHOUT ROWID;
INSERT INTO "digests" VALUES('n1','',8,1021179143576897097,'leaf');
CREATE TABLE folded (position INTEGER NOT NULL) STRICT;
INSERT INTO "folded" VALUES(8);
CREATE TABLE meta (key TEXT PRIMARY KEY, value ANY NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO "meta" VALUES('epoch','ebd761b3c54815de');
INSERT INTO "meta" VALUES('last_id',X'01A214E4AAA874DF89725C06E42C8B0F');
INSERT INTO "meta" VALUES('node','n1');
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
INSERT INTO "records" VALUES(1,X'01A214E4AAA874DDB65E66B8CABBCC0A','n1',1795646859944617,'t','{"n": 0}',1386647815877425276);
INSERT INTO "records" VALUES(2,X'01A214E4AAA874DDBFD98FF694E164F3','n1',1795646859944617,'t','{"n": 1}',8674595057804989562);
INSERT INTO "records" VALUES(3,X'01A214E4AAA874DE8712C2140CAD50C2','n1',1795646859944617,'t','{"n": 2}',4310964838031489197);
INSERT INTO "records" VALUES(4,X'01A214E4AAA874DE96CF7EBD6EED66AE','n1',1795646859944617,'t','{"n": 3}',6519136998144726991);
INSERT INTO "records" VALUES(5,X'01A214E4AAA874DEA4D66B632F2A2BD1','n1',1795646859944617,'t','{"n": 4}',9161969254917359735);
INSERT INTO "records" VALUES(6,X'01A214E4AAA874DEAD61BC868D277962','n1',1795646859944617,'t','{"n": 5}',892965111958687073);
INSERT INTO "records" VALUES(7,X'01A214E4AAA874DEBCCFCAAF57A289F9','n1',1795646859944617,'t','{"n": 6}',3508118314221262938);
INSERT INTO "records" VALUES(8,X'01A214E4AAA874DF89725C06E42C8B0F','n1',1795646859944617,'t','{"n": 7}',3460269900040059557);
CREATE TABLE removed (node TEXT, id BLOB, position INTEGER, hash INTEGER) STRICT;
CREATE TABLE unsynced (
            first INTEGER PRIMARY KEY,
            last INTEGER NOT NULL CHECK (last >= first),
            correction_us INTEGER
        ) STRICT;
CREATE TRIGGER records_unchanged BEFORE UPDATE ON records BEGIN
        SELECT RAISE(ABORT, 'a record is never changed');
    END;
CREATE INDEX digests_dropped ON digests (node, window) WHERE state = 'dropped';
CREATE TRIGGER records_removed AFTER DELETE ON records BEGIN
        INSERT INTO removed VALUES (old.node, old.id, old.position, old.hash);
    END;
DELETE FROM "sqlite_sequence";
INSERT INTO "sqlite_sequence" VALUES('records',8);
COMMIT;
