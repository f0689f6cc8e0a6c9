//! `actions/cache`, `actions/cache/restore` and `actions/cache/save`: directories kept from one run to the next.

use super::artifact::{Temporary, files, size};
use super::{BuiltIn, Call, Input, Post};
use crate::action::ActionError;
use crate::archive::{self, Limits};
use crate::glob::{Options, Patterns};
use crate::hash_files::hex;
use pilotage_api::services::{CacheInfo, CacheQuery};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

const INPUTS: &[Input] = &[
    Input::required("path"),
    Input::required("key"),
    Input::new("restore-keys", ""),
    Input::refused("upload-chunk-size", ""),
    Input::refused("enableCrossOsArchive", "false"),
    Input::new("fail-on-cache-miss", "false"),
    Input::new("lookup-only", "false"),
    Input::refused("save-always", "false"),
];

pub(super) const CACHE: BuiltIn = BuiltIn {
    name: "actions/cache",
    majors: &[3, 4, 5],
    inputs: INPUTS,
    outputs: &["cache-hit"],
    main: |call| Box::pin(restore(call, false)),
    post: Some(Post {
        run: |call| Box::pin(save_after(call)),
        on_success_only: true,
    }),
};

pub(super) const RESTORE: BuiltIn = BuiltIn {
    name: "actions/cache/restore",
    majors: &[3, 4, 5],
    inputs: INPUTS,
    outputs: &["cache-hit", "cache-primary-key", "cache-matched-key"],
    main: |call| Box::pin(restore(call, true)),
    post: None,
};

pub(super) const SAVE: BuiltIn = BuiltIn {
    name: "actions/cache/save",
    majors: &[3, 4, 5],
    inputs: &[
        Input::required("path"),
        Input::required("key"),
        Input::refused("upload-chunk-size", ""),
        Input::refused("enableCrossOsArchive", "false"),
    ],
    outputs: &[],
    main: |call| Box::pin(save(call)),
    post: None,
};

/// The limits of the original.
const KEY_CHARS_MAX: usize = 512;
const KEYS_MAX: usize = 10;

async fn restore(call: &mut Call<'_>, restore_only: bool) -> Result<(), ActionError> {
    let key = call.input("key").to_owned();
    let restore_keys = call.lines("restore-keys");
    check_keys(&key, &restore_keys)?;
    let (lookup_only, must_hit) = (call.flag("lookup-only")?, call.flag("fail-on-cache-miss")?);
    let paths = call.lines("path");
    call.save("key", &key);
    if restore_only {
        call.output("cache-primary-key", &key);
    }
    let Some(found) = find_and_unpack(call, &paths, &key, restore_keys.clone(), lookup_only).await? else {
        if must_hit {
            return Err(ActionError::failed(format!(
                "there is no cache for the key `{key}`"
            )));
        }
        let asked: Vec<_> = std::iter::once(key).chain(restore_keys).collect();
        call.say(&format!("No cache is there for the keys {}", asked.join(", ")));
        // The original says nothing at all where nothing was found, which is false for `if`.
        return Ok(());
    };
    call.save("matched", &found.key);
    if restore_only {
        call.output("cache-matched-key", &found.key);
    }
    call.output("cache-hit", if found.key == key { "true" } else { "false" });
    Ok(())
}

async fn save_after(call: &mut Call<'_>) -> Result<(), ActionError> {
    let key = call.saved("key").unwrap_or_default().to_owned();
    if call.saved("matched") == Some(key.as_str()) {
        call.say(&format!("The key `{key}` was found: nothing is saved"));
        return Ok(());
    }
    let paths = call.lines("path");
    pack_and_save(call, &paths, &key).await
}

async fn save(call: &mut Call<'_>) -> Result<(), ActionError> {
    let key = call.input("key").to_owned();
    check_keys(&key, &[])?;
    let paths = call.lines("path");
    pack_and_save(call, &paths, &key).await
}

fn check_keys(key: &str, restore_keys: &[String]) -> Result<(), ActionError> {
    if restore_keys.len() + 1 > KEYS_MAX {
        return Err(ActionError::failed(format!(
            "a cache takes at most {KEYS_MAX} keys"
        )));
    }
    for key in std::iter::once(key).chain(restore_keys.iter().map(String::as_str)) {
        if key.chars().count() > KEY_CHARS_MAX {
            return Err(ActionError::failed(format!(
                "the key `{key}` has more than {KEY_CHARS_MAX} characters"
            )));
        }
        if key.contains(',') {
            return Err(ActionError::failed(format!("the key `{key}` holds a comma")));
        }
    }
    Ok(())
}

/// Looks a cache up and, unless it is only looked up, puts it in its place.
pub(super) async fn find_and_unpack(
    call: &mut Call<'_>,
    paths: &[String],
    key: &str,
    restore_keys: Vec<String>,
    lookup_only: bool,
) -> Result<Option<CacheInfo>, ActionError> {
    let query = CacheQuery {
        key: key.to_owned(),
        restore_keys,
        version: version(paths),
    };
    let services = call.services();
    let Some(found) = call.wait(services.find_cache(&query)).await?? else {
        return Ok(None);
    };
    let bytes = size(found.size_bytes);
    if lookup_only {
        call.say(&format!("The cache `{}` ({bytes}) is there", found.key));
        return Ok(Some(found));
    }
    let (_, roots) = places(call, paths)?;
    let file = call.temporary("tzst");
    call.wait(services.download_cache(&found, &file)).await??;
    let (from, reach) = (file.clone(), call.reach());
    let unpacked = call
        .blocking(move || archive::unpack(&from, &roots, Limits::default(), &reach))
        .await;
    let _ = std::fs::remove_file(&file);
    let files = files(unpacked??);
    call.say(&format!("Restored the cache `{}`: {files} ({bytes})", found.key));
    Ok(Some(found))
}

/// Packs what lies at the paths and keeps it. What cannot be kept is a warning, as in the original.
pub(super) async fn pack_and_save(
    call: &mut Call<'_>,
    paths: &[String],
    key: &str,
) -> Result<(), ActionError> {
    let (patterns, roots) = places(call, paths)?;
    let options = Options {
        keep_directories: true,
        ..Options::default()
    };
    let files = call.blocking(move || patterns.find(options)).await??;
    if files.is_empty() {
        return call
            .warn(&format!(
                "Nothing lies at {}: no cache is saved",
                paths.join(", ")
            ))
            .await;
    }
    let (to, reach) = (call.temporary("tzst"), call.reach());
    let packed = Temporary(
        call.blocking(move || archive::pack(&roots, &files, &to, &reach))
            .await??,
    );
    let services = call.services();
    match call
        .wait(services.save_cache(key, &version(paths), &packed.0))
        .await?
    {
        Ok(Some(saved)) => call.say(&format!("Saved the cache `{key}` ({})", size(saved.size_bytes))),
        Ok(None) => call.say(&format!(
            "The cache `{key}` is there already; caches are immutable"
        )),
        Err(error) => {
            return call
                .warn(&format!("The cache `{key}` is not saved: {error}"))
                .await;
        }
    }
    Ok(())
}

/// Where the paths lie now; the order is that of the archive's numbers.
fn places(call: &Call<'_>, paths: &[String]) -> Result<(Patterns, Vec<PathBuf>), ActionError> {
    let patterns = Patterns::parse(paths.iter().map(String::as_str), call.workspace(), &call.home())?;
    let roots = patterns.roots();
    for root in &roots {
        call.reachable(root)?;
    }
    Ok((patterns, roots))
}

/// Entries for other paths do not fit, as in the original. The form of our archives is in it too.
fn version(paths: &[String]) -> String {
    let mut digest = Sha256::new();
    for path in paths {
        digest.update(path);
        digest.update("|");
    }
    digest.update("zstd-roots-1");
    hex(&digest.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_have_limits() {
        assert!(check_keys("npm-1", &["npm-".to_owned()]).is_ok());
        assert!(check_keys("a,b", &[]).is_err());
        assert!(check_keys(&"x".repeat(513), &[]).is_err());
        assert!(check_keys("x", &vec!["y".to_owned(); 10]).is_err());
    }
}
