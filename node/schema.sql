-- The node's database. One file, one owner: the node's thread. Times ending in _us are microseconds since 1970.

CREATE TABLE meta (                     -- what the node knows about itself
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL
) WITHOUT ROWID;

CREATE TABLE streams (                  -- one origin's events of one topic
    id     INTEGER PRIMARY KEY,
    origin TEXT NOT NULL,
    topic  TEXT NOT NULL,
    base   INTEGER NOT NULL,            -- the sequence before the first one this node ever held
    head   INTEGER NOT NULL,            -- the highest sequence this node has held
    UNIQUE (origin, topic)
);

CREATE TABLE log (                      -- the replay log: one row a batch, as it travels
    position    INTEGER PRIMARY KEY,    -- of the batch's first event; the next batch begins `count` later
    stream      INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,       -- of the batch's first event
    count       INTEGER NOT NULL,
    appended_us INTEGER NOT NULL,       -- when this node took it in
    publisher   BLOB NOT NULL,
    number      INTEGER NOT NULL,       -- the publisher's count of the first event
    frame       BLOB NOT NULL
);
CREATE INDEX log_by_stream ON log (stream, sequence, count);

CREATE TABLE publishers (               -- how far each publisher's events are on disk: exact identity over restarts
    publisher BLOB PRIMARY KEY,
    number    INTEGER NOT NULL,         -- the last number admitted
    position  INTEGER NOT NULL,         -- where its last batch stands; a search for a receipt goes back from here
    seen_us   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE reporters (                -- the last report taken in from each session: one whose answer was lost is told from a new one
    session BLOB PRIMARY KEY,
    serial  INTEGER NOT NULL,
    seen_us INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE consumers (                -- named subscriptions, durable or not, and their books
    name      TEXT PRIMARY KEY,
    pattern   TEXT NOT NULL,
    durable   INTEGER NOT NULL,
    policy    TEXT NOT NULL,            -- JSON: attempts, first_s, cap_s, timeout_s
    passed    INTEGER NOT NULL,         -- events its cursors have moved over, in all
    handled   INTEGER NOT NULL,         -- of these: the handler succeeded at the first attempt
    failed    INTEGER NOT NULL,         -- of these: became a letter
    lost      INTEGER NOT NULL,         -- of these: gone from the log before they were delivered
    resolved  INTEGER NOT NULL,         -- letters that ended by the handler's success
    expired   INTEGER NOT NULL,         -- letters that ended by discard or clean-up
    seen_us   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE cursors (                  -- how far a durable consumer has settled each stream
    consumer TEXT NOT NULL,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    PRIMARY KEY (consumer, stream)
) WITHOUT ROWID;

CREATE TABLE crashes (                  -- events a durable consumer's process died of, beyond its cursor
    consumer TEXT NOT NULL,
    stream   INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    count    INTEGER NOT NULL,          -- in a row; from 3 on the event has a letter and is skipped
    PRIMARY KEY (consumer, stream, sequence)
) WITHOUT ROWID;

CREATE TABLE losses (                   -- ranges a consumer was owed and did not get, each with its reason
    id       INTEGER PRIMARY KEY,
    consumer TEXT NOT NULL,
    origin   TEXT NOT NULL,
    topic    TEXT NOT NULL,
    first    INTEGER NOT NULL,
    last     INTEGER NOT NULL,
    reason   TEXT NOT NULL,
    at_us    INTEGER NOT NULL
);

CREATE TABLE holes (                    -- ranges of a stream that no node has any more
    id     INTEGER PRIMARY KEY,
    stream INTEGER NOT NULL,
    first  INTEGER NOT NULL,
    last   INTEGER NOT NULL,
    at_us  INTEGER NOT NULL
);

CREATE TABLE letters (                  -- events a handler failed: waiting for the next attempt, or dead
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer        TEXT NOT NULL,
    state           TEXT NOT NULL CHECK (state IN ('waiting', 'dead')),
    origin          TEXT NOT NULL,
    topic           TEXT NOT NULL,
    sequence        INTEGER NOT NULL,
    frame           BLOB NOT NULL,      -- the event alone, directed
    payload         TEXT NOT NULL,      -- its JSON, for people
    attempts        INTEGER NOT NULL,   -- made so far
    retries         INTEGER NOT NULL,   -- times an operator asked for another attempt
    kind            TEXT NOT NULL,      -- of the last failure: error, timeout
    error_type      TEXT NOT NULL,
    error           TEXT NOT NULL,
    traceback       TEXT NOT NULL,
    first_failed_us INTEGER NOT NULL,
    last_failed_us  INTEGER NOT NULL,
    next_attempt_us INTEGER             -- NULL when dead
);
CREATE INDEX letters_due ON letters (consumer, next_attempt_us) WHERE state = 'waiting';
CREATE INDEX letters_dead ON letters (last_failed_us) WHERE state = 'dead';
CREATE INDEX letters_counted ON letters (consumer, topic, state, first_failed_us);  -- counting reads no letter

CREATE TABLE actions (                  -- what operators did to letters
    id      INTEGER PRIMARY KEY,
    at_us   INTEGER NOT NULL,
    actor   TEXT NOT NULL,
    action  TEXT NOT NULL,              -- retry, discard
    letter  INTEGER NOT NULL,
    detail  TEXT NOT NULL
);

CREATE TABLE members (                  -- peers that may be dialled, for a start with no seed in reach
    origin      TEXT PRIMARY KEY,
    name        TEXT NOT NULL,
    incarnation INTEGER NOT NULL,
    sequence    INTEGER NOT NULL,
    addresses   TEXT NOT NULL           -- JSON list
) WITHOUT ROWID;

CREATE VIEW dead_letter_queue AS        -- the letters in the shape of the coordination event system's runbook
SELECT id, topic AS event_type, payload AS event_data, error_type || ': ' || error AS error,
       first_failed_us / 1e6 AS created_at, attempts - 1 AS retry_count
FROM letters;
