//! The database, its migrations, blobs and log segments.
