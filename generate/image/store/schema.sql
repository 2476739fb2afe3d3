CREATE TABLE image_metadata (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    image_name TEXT NOT NULL,
    image_tag TEXT NOT NULL,
    image_id TEXT NOT NULL,  -- Docker image ID (sha256:...)
    digest TEXT,              -- Manifest digest for verification
    size_bytes INTEGER,
    created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    last_pulled TIMESTAMP,
    last_used TIMESTAMP,
    build_config TEXT,        -- JSON: Dockerfile content, build args
    dependencies TEXT,        -- JSON: system deps, Python packages
    python_version TEXT,      -- e.g., "3.10"
    base_image TEXT,          -- e.g., "python:3.10-slim" or custom
    status TEXT NOT NULL,     -- "available", "building", "failed"
    error_message TEXT,       -- If status="failed", store error
    UNIQUE(image_name, image_tag)
);

CREATE INDEX idx_image_lookup ON image_metadata(image_name, image_tag);
CREATE INDEX idx_last_used ON image_metadata(last_used DESC);
CREATE INDEX idx_status ON image_metadata(status);
