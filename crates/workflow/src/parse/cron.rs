//! The five fields of a cron line: whether they are well formed, and how often it comes at most.

/// One field: its name, its least and greatest value, and the words that stand for numbers.
struct Field {
    name: &'static str,
    least: u32,
    greatest: u32,
    words: &'static [&'static str],
}

const FIELDS: [Field; 5] = [
    Field {
        name: "minute",
        least: 0,
        greatest: 59,
        words: &[],
    },
    Field {
        name: "hour",
        least: 0,
        greatest: 23,
        words: &[],
    },
    Field {
        name: "day of month",
        least: 1,
        greatest: 31,
        words: &[],
    },
    Field {
        name: "month",
        least: 1,
        greatest: 12,
        words: &[
            "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
        ],
    },
    Field {
        name: "day of week",
        least: 0,
        greatest: 7,
        words: &["sun", "mon", "tue", "wed", "thu", "fri", "sat"],
    },
];

/// Checks a cron line and gives the least distance between two of its minutes.
///
/// # Errors
/// In words, what is wrong with it.
pub(super) fn check(line: &str) -> Result<u32, String> {
    let parts: Vec<&str> = line.split_whitespace().collect();
    if line.trim_start().starts_with('@') {
        return Err(format!("`{}` is not supported, five fields are", line.trim()));
    }
    if parts.len() != FIELDS.len() {
        return Err(format!(
            "a cron line has five fields, this one has {}",
            parts.len()
        ));
    }
    let mut minutes = Vec::new();
    for (part, field) in parts.iter().zip(&FIELDS) {
        let values = values(part, field)?;
        if field.name == "minute" {
            minutes = values;
        }
    }
    minutes.sort_unstable();
    minutes.dedup();
    let around = minutes
        .first()
        .zip(minutes.last())
        .map(|(first, last)| first + 60 - last);
    let gaps = minutes.windows(2).map(|pair| pair[1] - pair[0]);
    Ok(gaps.chain(around).min().unwrap_or(60))
}

fn values(part: &str, field: &Field) -> Result<Vec<u32>, String> {
    let mut all = Vec::new();
    for item in part.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => {
                let step = step.parse().ok().filter(|s| *s > 0 && *s <= field.greatest);
                (
                    range,
                    step.ok_or_else(|| format!("`{item}` is no step of the {}", field.name))?,
                )
            }
            None => (item, 1),
        };
        let (from, to) = if range == "*" {
            (field.least, field.greatest)
        } else if let Some((from, to)) = range.split_once('-') {
            (value(from, field)?, value(to, field)?)
        } else {
            let from = value(range, field)?;
            (from, if item.contains('/') { field.greatest } else { from })
        };
        if from > to {
            return Err(format!(
                "the range `{range}` of the {} goes backwards",
                field.name
            ));
        }
        all.extend((from..=to).step_by(step as usize));
    }
    Ok(all)
}

fn value(text: &str, field: &Field) -> Result<u32, String> {
    let word = text.to_ascii_lowercase();
    if let Some(index) = field.words.iter().position(|w| *w == word) {
        return Ok(field.least + u32::try_from(index).unwrap_or(0));
    }
    let digits = !text.is_empty() && text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse::<u32>() {
        Ok(n) if digits && (field.least..=field.greatest).contains(&n) => Ok(n),
        _ => Err(format!(
            "`{text}` is no {} ({} to {})",
            field.name, field.least, field.greatest
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn lines_are_checked_field_by_field() {
        for (line, expected) in [
            ("0 0 * * *", Ok(60)),
            ("*/5 * * * *", Ok(5)),
            ("0/20 1-3 1,15 JAN-mar mon-FRI", Ok(20)),
            ("* * * * *", Ok(1)),
            ("58,1 * * * 7", Ok(3)),
            ("0 0 * *", Err("a cron line has five fields, this one has 4")),
            ("@daily", Err("`@daily` is not supported, five fields are")),
            ("60 * * * *", Err("`60` is no minute (0 to 59)")),
            ("* * 0 * *", Err("`0` is no day of month (1 to 31)")),
            ("* 5-3 * * *", Err("the range `5-3` of the hour goes backwards")),
            ("*/0 * * * *", Err("`*/0` is no step of the minute")),
            ("* * * * x", Err("`x` is no day of week (0 to 7)")),
            ("1,, * * * *", Err("`` is no minute (0 to 59)")),
        ] {
            assert_eq!(check(line), expected.map_err(str::to_owned), "{line}");
        }
    }
}
