-- What a right answer needs beside the table of schema.sql.
ALTER TABLE image_metadata ADD COLUMN key TEXT;          -- the whole recipe hash; the tag is its beginning
ALTER TABLE image_metadata ADD COLUMN platform TEXT;     -- e.g., "linux/amd64"
ALTER TABLE image_metadata ADD COLUMN engine_id TEXT;    -- whose image store has it
ALTER TABLE image_metadata ADD COLUMN iceoryx2 TEXT;     -- version in the image
ALTER TABLE image_metadata ADD COLUMN base_digest TEXT;  -- what base_image was then
ALTER TABLE image_metadata ADD COLUMN holder TEXT;       -- who builds it, for people
ALTER TABLE image_metadata ADD COLUMN used INTEGER;      -- sequence of the last use: a clock can jump
ALTER TABLE image_metadata ADD COLUMN sum TEXT;          -- over all of the above but id

CREATE INDEX idx_used ON image_metadata(used DESC);

CREATE TABLE image_use (
    image_name TEXT NOT NULL,
    image_tag TEXT NOT NULL,
    project TEXT NOT NULL,
    node TEXT NOT NULL,
    used INTEGER NOT NULL,
    sum TEXT NOT NULL,
    PRIMARY KEY (image_name, image_tag, project, node),
    FOREIGN KEY (image_name, image_tag) REFERENCES image_metadata(image_name, image_tag) ON DELETE CASCADE
) WITHOUT ROWID;

CREATE TABLE image_facts (
    key TEXT PRIMARY KEY,     -- image ID
    facts TEXT NOT NULL,      -- JSON
    sum TEXT NOT NULL
) WITHOUT ROWID;
