BEGIN TRANSACTION;
CREATE TABLE begun (
        one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL CHECK (number >= 1),
        date TEXT NOT NULL CHECK (date GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]'),
        began TEXT NOT NULL CHECK (began GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z'),
        attempts INTEGER NOT NULL CHECK (attempts >= 1),
        latest TEXT NOT NULL CHECK (latest GLOB '[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]T[0-9][0-9]:[0-9][0-9]:[0-9][0-9]Z'),
        tool_version TEXT NOT NULL, tool_digest TEXT NOT NULL
    );
INSERT INTO "begun" VALUES(1,4,'2026-01-31','2026-01-31T02:00:00Z',1,'2026-01-31T02:00:00Z','1.0','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65');
CREATE TABLE changes (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, what TEXT NOT NULL, first TEXT, second TEXT, link TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
CREATE TABLE checks (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, stage TEXT NOT NULL, code TEXT NOT NULL, subject TEXT NOT NULL,
        verdict TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "checks" VALUES(1,0,'build','fixed-point.same','amd64','PASS','14 files are the same');
INSERT INTO "checks" VALUES(2,0,'build','fixed-point.same','amd64','PASS','14 files are the same');
CREATE TABLE consequences (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, step TEXT NOT NULL, chain TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
CREATE TABLE inputs (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, kind TEXT NOT NULL, name TEXT NOT NULL, host TEXT NOT NULL,
        version TEXT NOT NULL, content TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "inputs" VALUES(1,0,'go-module','go','','1.27.3','blake3:c0e199065eef9b207692f6ae9db665a461672e95c166792315d4ba451bf62746');
INSERT INTO "inputs" VALUES(2,0,'go-module','go','','1.27.3','blake3:c0e199065eef9b207692f6ae9db665a461672e95c166792315d4ba451bf62746');
CREATE TABLE keys (
        key TEXT PRIMARY KEY, audited INTEGER, verdict TEXT, seal TEXT NOT NULL
    ) WITHOUT ROWID;
INSERT INTO "keys" VALUES('blake3:4348794380d3b192368ae5bc0ede279a13adb5816201fae36849365139b0269e',1,'PASS','blake3:643fd46c0c9d3582c425af1c1e01a91e7050401f01c492504a7454e4a3c52200');
INSERT INTO "keys" VALUES('blake3:52383b6500e4045d5766f828a5927557e6a5b35aa28e3b537837085a9392832a',NULL,NULL,'blake3:55d55f85183643986808a277ab06c021fe9488b031e6bfc8272de783768be5e0');
INSERT INTO "keys" VALUES('blake3:89b5773dc346e4d6107aa1445f2d3cacc20ac497fc95b365060c52d3c2144871',NULL,NULL,'blake3:c5398c02c2fefb82f90f91ad42bc75772203df22e248bec46994881955d0b094');
INSERT INTO "keys" VALUES('blake3:8c8fe009cf7fcb86eab72725c56f60b1ff07983c14a7d525829c13ac1d7a8346',NULL,NULL,'blake3:940e164c63b1f625c71b8244a78a9ec66d1c0c18fc9c0ef22b4f36041bfb3416');
INSERT INTO "keys" VALUES('blake3:93474c6e6bbb1a83731e9152c922d208e1430c865e5ccb7c830e8dbed311c76d',NULL,NULL,'blake3:3fc44fae97881cd9732a03e6db833560ad003d53999c47f23803bd17ba15a540');
INSERT INTO "keys" VALUES('blake3:94e704ed8ff090e9a7465721af18e476a14b1c600289d02f51f0f868f7bb20c4',12,'FAIL','blake3:bd82f97f10ac4eead5a1ced003cecfe8859a41ed522ec40197694ae82ae1ac27');
INSERT INTO "keys" VALUES('blake3:b04d96f74312623efdb903f0767e4a2df0d201a24a1ccf04fd9df8badcbb3b57',NULL,NULL,'blake3:5f5c8b233a38d7acaa8734cf549be1e3d515c00acac32aae4750520f0bed6052');
CREATE TABLE machines (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, platform TEXT NOT NULL, verdict TEXT NOT NULL, seconds REAL NOT NULL,
        commands TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "machines" VALUES(1,0,'pc-bios','PASS',21.5,'{"ls -l /": 0.25, "date": 0.5}');
INSERT INTO "machines" VALUES(2,0,'pc-bios','PASS',21.5,'{"ls -l /": 0.25, "date": 0.5}');
CREATE TABLE nights (
        number INTEGER PRIMARY KEY, date TEXT NOT NULL, began TEXT NOT NULL, ended TEXT NOT NULL,
        seconds REAL NOT NULL, attempts INTEGER NOT NULL, word TEXT NOT NULL, line TEXT NOT NULL,
        since INTEGER NOT NULL, previous INTEGER, tool_version TEXT NOT NULL,
        tool_digest TEXT NOT NULL, spec TEXT, lock TEXT, locked TEXT, image_blake3 TEXT,
        image_size INTEGER, verdict TEXT, notes TEXT NOT NULL, seal TEXT NOT NULL, details TEXT
    );
INSERT INTO "nights" VALUES(1,'2026-01-01','2026-01-01T02:00:00Z','2026-01-01T02:06:12Z',372.25,1,'inputs-changed','The first build',1,NULL,'1.0','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65','blake3:27b4a909df84b7e16dfa4e36bd17e1b64b67f2e1dd9e56ee3397c549e2955d79','blake3:e73acfadf2de935ef6e689d57aec63e8d98e8092061fa61c9fcd1a3ce46016e2','anew','blake3:0229ff7dec8a365f7300835d175494866d46e56fec330dad33cd3dc93df3c16d',1534066688,'PASS','[]','blake3:0160d2b8320560e3fa40bad21087fcc682d815deb25c1a24fc256bedf2d6257a','blake3:f86681194980c1788315bcc45806e2035ca7f6d310c1baec3beb7b01b928d5ed');
INSERT INTO "nights" VALUES(2,'2026-01-12','2026-01-12T02:00:00Z','2026-01-12T02:06:12Z',372.25,1,'not-deterministic','Not deterministic: programs/amd64, since night 12',12,11,'1.0','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65','blake3:27b4a909df84b7e16dfa4e36bd17e1b64b67f2e1dd9e56ee3397c549e2955d79','blake3:e73acfadf2de935ef6e689d57aec63e8d98e8092061fa61c9fcd1a3ce46016e2','anew','blake3:0229ff7dec8a365f7300835d175494866d46e56fec330dad33cd3dc93df3c16d',1534066688,'PASS','[]','blake3:c2166983ea71983dc4de9787d29489328c4127e00bdcbe3ce6cdb395175347f7','blake3:20970107864762551018513134d8d29d883b8d6d41d4d462d1d4927dc7a4f496');
INSERT INTO "nights" VALUES(3,'2026-01-03','2026-01-03T02:00:00Z','2026-01-03T02:06:12Z',372.25,1,'build-failed','a step of the build failed, or the spec cannot be built',3,2,'1.0','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65',NULL,NULL,NULL,NULL,NULL,NULL,'[]','blake3:797f23c00430c039ccb3f1e52c6dbf2e032d72db2a62e588f3f39541ee9c4cfe','blake3:6e46dd10defc9b56c29a6ec56b508c21f54c08192194e4df25bf36f0c9c3c279');
CREATE TABLE observations (
        number INTEGER PRIMARY KEY, key TEXT NOT NULL REFERENCES keys (key) ON DELETE CASCADE,
        tool TEXT NOT NULL, outputs TEXT NOT NULL, seen TEXT NOT NULL, step TEXT NOT NULL,
        place INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
        UNIQUE (key, tool, outputs, seen)
    );
INSERT INTO "observations" VALUES(1,'blake3:b04d96f74312623efdb903f0767e4a2df0d201a24a1ccf04fd9df8badcbb3b57','','blake3:b23aed8d27f45c8692cbe7164326066713b463e6714794342b98808c52a17d4d','build','T1/toolchain',0,1,2);
INSERT INTO "observations" VALUES(2,'blake3:52383b6500e4045d5766f828a5927557e6a5b35aa28e3b537837085a9392832a','','blake3:f37068cb0de200188ab4bff59fd77fe85d4804d24a07dc7b40392819d50c16d6','build','F1',1,1,2);
INSERT INTO "observations" VALUES(3,'blake3:8c8fe009cf7fcb86eab72725c56f60b1ff07983c14a7d525829c13ac1d7a8346','','blake3:5a76b4e013924a90f76db973cb6919b330bb528404a76be1b8f521ac841262a7','build','F2',2,1,2);
INSERT INTO "observations" VALUES(4,'blake3:4348794380d3b192368ae5bc0ede279a13adb5816201fae36849365139b0269e','','blake3:4a2aaab95fc4237429ddb0cec528c98327a57e73463a9935f1bbbbca6c25dda5','build','programs/amd64',3,1,1);
INSERT INTO "observations" VALUES(5,'blake3:4348794380d3b192368ae5bc0ede279a13adb5816201fae36849365139b0269e','','blake3:4a2aaab95fc4237429ddb0cec528c98327a57e73463a9935f1bbbbca6c25dda5','audit','programs/amd64',3,1,1);
INSERT INTO "observations" VALUES(6,'blake3:93474c6e6bbb1a83731e9152c922d208e1430c865e5ccb7c830e8dbed311c76d','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65','blake3:1f1b4a76cef7ef4685605ef340fa707952f4bb475a02faf8eac40ec61422c68f','build','image',4,1,1);
INSERT INTO "observations" VALUES(7,'blake3:94e704ed8ff090e9a7465721af18e476a14b1c600289d02f51f0f868f7bb20c4','','blake3:bf2dab6b8c53a4940b0b45857c4bb1b5cf84d20c392f24a0da5e3572b4582ead','build','programs/amd64',3,2,2);
INSERT INTO "observations" VALUES(8,'blake3:94e704ed8ff090e9a7465721af18e476a14b1c600289d02f51f0f868f7bb20c4','','blake3:b74704c68d46f34f478089588176f325407e6dc4aa7096e3fef9910ce9b41282','audit','programs/amd64',3,2,2);
INSERT INTO "observations" VALUES(9,'blake3:89b5773dc346e4d6107aa1445f2d3cacc20ac497fc95b365060c52d3c2144871','blake3:1d12578e081209abaa0fbc4373723083a2efaf63d76ef02e7082e99648b39a65','blake3:1ccea93964200aa77613f116545d684b22834706445aa1797538484b440dc593','build','image',4,2,2);
CREATE TABLE stages (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, name TEXT NOT NULL, state TEXT NOT NULL, status INTEGER, seconds REAL NOT NULL,
        reason TEXT NOT NULL, command TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "stages" VALUES(1,0,'relock','done',0,72.5,'','["orchestrate", "relock"]');
INSERT INTO "stages" VALUES(1,1,'build','done',0,72.5,'','["orchestrate", "build"]');
INSERT INTO "stages" VALUES(1,2,'audit','done',0,72.5,'','["orchestrate", "audit"]');
INSERT INTO "stages" VALUES(1,3,'boot','done',0,72.5,'','["orchestrate", "boot"]');
INSERT INTO "stages" VALUES(1,4,'verify','done',0,72.5,'','["orchestrate", "verify"]');
INSERT INTO "stages" VALUES(2,0,'relock','done',0,72.5,'','["orchestrate", "relock"]');
INSERT INTO "stages" VALUES(2,1,'build','done',0,72.5,'','["orchestrate", "build"]');
INSERT INTO "stages" VALUES(2,2,'audit','done',0,72.5,'','["orchestrate", "audit"]');
INSERT INTO "stages" VALUES(2,3,'boot','done',0,72.5,'','["orchestrate", "boot"]');
INSERT INTO "stages" VALUES(2,4,'verify','done',0,72.5,'','["orchestrate", "verify"]');
CREATE TABLE steps (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, name TEXT NOT NULL, kind TEXT NOT NULL, key TEXT NOT NULL REFERENCES keys (key),
        outputs TEXT NOT NULL, seconds REAL NOT NULL, cached INTEGER NOT NULL, audited INTEGER,
        verdict TEXT, others TEXT NOT NULL, PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "steps" VALUES(1,0,'T1/toolchain','action','blake3:b04d96f74312623efdb903f0767e4a2df0d201a24a1ccf04fd9df8badcbb3b57','blake3:b23aed8d27f45c8692cbe7164326066713b463e6714794342b98808c52a17d4d',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(1,1,'F1','action','blake3:52383b6500e4045d5766f828a5927557e6a5b35aa28e3b537837085a9392832a','blake3:f37068cb0de200188ab4bff59fd77fe85d4804d24a07dc7b40392819d50c16d6',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(1,2,'F2','action','blake3:8c8fe009cf7fcb86eab72725c56f60b1ff07983c14a7d525829c13ac1d7a8346','blake3:5a76b4e013924a90f76db973cb6919b330bb528404a76be1b8f521ac841262a7',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(1,3,'programs/amd64','action','blake3:4348794380d3b192368ae5bc0ede279a13adb5816201fae36849365139b0269e','blake3:4a2aaab95fc4237429ddb0cec528c98327a57e73463a9935f1bbbbca6c25dda5',12.5,0,1,'PASS','[]');
INSERT INTO "steps" VALUES(1,4,'image','computation','blake3:93474c6e6bbb1a83731e9152c922d208e1430c865e5ccb7c830e8dbed311c76d','blake3:1f1b4a76cef7ef4685605ef340fa707952f4bb475a02faf8eac40ec61422c68f',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(2,0,'T1/toolchain','action','blake3:b04d96f74312623efdb903f0767e4a2df0d201a24a1ccf04fd9df8badcbb3b57','blake3:b23aed8d27f45c8692cbe7164326066713b463e6714794342b98808c52a17d4d',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(2,1,'F1','action','blake3:52383b6500e4045d5766f828a5927557e6a5b35aa28e3b537837085a9392832a','blake3:f37068cb0de200188ab4bff59fd77fe85d4804d24a07dc7b40392819d50c16d6',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(2,2,'F2','action','blake3:8c8fe009cf7fcb86eab72725c56f60b1ff07983c14a7d525829c13ac1d7a8346','blake3:5a76b4e013924a90f76db973cb6919b330bb528404a76be1b8f521ac841262a7',12.5,1,NULL,NULL,'[]');
INSERT INTO "steps" VALUES(2,3,'programs/amd64','action','blake3:94e704ed8ff090e9a7465721af18e476a14b1c600289d02f51f0f868f7bb20c4','blake3:bf2dab6b8c53a4940b0b45857c4bb1b5cf84d20c392f24a0da5e3572b4582ead',12.5,0,12,'FAIL','["blake3:b74704c68d46f34f478089588176f325407e6dc4aa7096e3fef9910ce9b41282"]');
INSERT INTO "steps" VALUES(2,4,'image','computation','blake3:89b5773dc346e4d6107aa1445f2d3cacc20ac497fc95b365060c52d3c2144871','blake3:1ccea93964200aa77613f116545d684b22834706445aa1797538484b440dc593',12.5,1,NULL,NULL,'[]');
CREATE TABLE varying (
        night INTEGER NOT NULL REFERENCES nights (number) ON DELETE CASCADE, place INTEGER NOT NULL, step TEXT NOT NULL, key TEXT NOT NULL, first TEXT, second TEXT,
        seen TEXT NOT NULL, first_night INTEGER NOT NULL, cause TEXT NOT NULL, lines TEXT NOT NULL,
        PRIMARY KEY (night, place)) WITHOUT ROWID;
INSERT INTO "varying" VALUES(2,0,'programs/amd64','blake3:94e704ed8ff090e9a7465721af18e476a14b1c600289d02f51f0f868f7bb20c4','blake3:bf2dab6b8c53a4940b0b45857c4bb1b5cf84d20c392f24a0da5e3572b4582ead','blake3:b74704c68d46f34f478089588176f325407e6dc4aa7096e3fef9910ce9b41282','audit',12,'time','["the smallest cause: time zone (4 runs)"]');
CREATE INDEX steps_by_key ON steps (key);
COMMIT;
PRAGMA user_version = 1;
PRAGMA application_id = 1397900121;
