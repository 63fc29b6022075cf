-- A store of version 1 of the schema, as the first release wrote it: sqlite3 chat.db .dump
PRAGMA application_id = 1634429300;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL;
BEGIN TRANSACTION;
CREATE TABLE conversations (
            key INTEGER PRIMARY KEY,
            user TEXT NOT NULL,
            conversation TEXT NOT NULL,
            fence INTEGER NOT NULL,
            lease_owner TEXT,
            lease_until REAL NOT NULL,
            seq INTEGER NOT NULL DEFAULT 0,
            total_tokens INTEGER NOT NULL DEFAULT 0,
            state TEXT NOT NULL DEFAULT 'idle',
            open_turn INTEGER,
            created_at REAL NOT NULL,
            updated_at REAL NOT NULL,
            UNIQUE (user, conversation)
        ) STRICT
        ;
INSERT INTO "conversations" VALUES(1,'alice','c1',3,'w2',1000060.0,4,12,'open',4,1000000.0,1.00000000000000093132e+06);
INSERT INTO "conversations" VALUES(2,'alice','c2',1,'w1',1000060.0,3,7,'idle',NULL,1.00000000000000023277e+06,1.00000000000000034922e+06);
INSERT INTO "conversations" VALUES(3,'bob é','c1',2,NULL,1000060.0,3,7,'idle',NULL,1.00000000000000046566e+06,1.0000000000000005821e+06);
INSERT INTO "conversations" VALUES(4,'bob é','c2',1,'w1',1000060.0,3,7,'idle',NULL,1.00000000000000069844e+06,1.00000000000000081488e+06);
CREATE TABLE deleted (fence INTEGER NOT NULL) STRICT;
INSERT INTO "deleted" VALUES(7);
CREATE TABLE records (
            place INTEGER PRIMARY KEY,
            conversation INTEGER NOT NULL,
            record_id TEXT NOT NULL,
            kind TEXT NOT NULL,
            body BLOB NOT NULL,
            tokens INTEGER NOT NULL,
            total_tokens INTEGER NOT NULL,
            fence INTEGER NOT NULL,
            at REAL NOT NULL,
            UNIQUE (conversation, record_id)
        ) STRICT
        ;
INSERT INTO "records" VALUES(4294967297,1,'t1','turn_started',X'7B2274657874223A226869227D',3,3,1,1000000.0);
INSERT INTO "records" VALUES(4294967298,1,'m1','model_responded',X'000102030405060708090A0B0C0D0E0F',4,7,1,1.00000000000000011644e+06);
INSERT INTO "records" VALUES(4294967299,1,'f1','turn_finished',X'',0,7,1,1.00000000000000011644e+06);
INSERT INTO "records" VALUES(4294967300,1,'t2','turn_started',X'7B2274657874223A22616761696E227D',5,12,3,1.00000000000000093132e+06);
INSERT INTO "records" VALUES(8589934593,2,'t1','turn_started',X'7B2274657874223A226869227D',3,3,1,1.00000000000000023277e+06);
INSERT INTO "records" VALUES(8589934594,2,'m1','model_responded',X'000102030405060708090A0B0C0D0E0F',4,7,1,1.00000000000000034922e+06);
INSERT INTO "records" VALUES(8589934595,2,'f1','turn_finished',X'',0,7,1,1.00000000000000034922e+06);
INSERT INTO "records" VALUES(12884901889,3,'t1','turn_started',X'7B2274657874223A226869227D',3,3,1,1.00000000000000046566e+06);
INSERT INTO "records" VALUES(12884901890,3,'m1','model_responded',X'000102030405060708090A0B0C0D0E0F',4,7,1,1.0000000000000005821e+06);
INSERT INTO "records" VALUES(12884901891,3,'f1','turn_finished',X'',0,7,1,1.0000000000000005821e+06);
INSERT INTO "records" VALUES(17179869185,4,'t1','turn_started',X'7B2274657874223A226869227D',3,3,1,1.00000000000000069844e+06);
INSERT INTO "records" VALUES(17179869186,4,'m1','model_responded',X'000102030405060708090A0B0C0D0E0F',4,7,1,1.00000000000000081488e+06);
INSERT INTO "records" VALUES(17179869187,4,'f1','turn_finished',X'',0,7,1,1.00000000000000081488e+06);
CREATE INDEX conversations_by_change ON conversations (user, updated_at);
COMMIT;
