//! The events that can start a workflow, their activity types and their filters.

/// One event as the language knows it.
pub(super) struct Event {
    pub(super) name: &'static str,
    pub(super) types: Types,
    /// Of `branches`, `tags`, `paths`, `workflows`, `names`, `versions`; the first three with their `-ignore`.
    pub(super) filters: &'static [&'static str],
}

pub(super) enum Types {
    None,
    /// Any text (`repository_dispatch`).
    Free,
    Known(&'static [&'static str]),
}

pub(super) fn find(name: &str) -> Option<&'static Event> {
    EVENTS.iter().find(|e| e.name == name)
}

const fn plain(name: &'static str) -> Event {
    Event {
        name,
        types: Types::None,
        filters: &[],
    }
}

const fn typed(name: &'static str, types: &'static [&'static str]) -> Event {
    Event {
        name,
        types: Types::Known(types),
        filters: &[],
    }
}

const PULL_REQUEST: &[&str] = &[
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "opened",
    "edited",
    "closed",
    "reopened",
    "synchronize",
    "converted_to_draft",
    "locked",
    "unlocked",
    "enqueued",
    "dequeued",
    "milestoned",
    "demilestoned",
    "ready_for_review",
    "review_requested",
    "review_request_removed",
    "auto_merge_enabled",
    "auto_merge_disabled",
];
const MADE: &[&str] = &["created", "edited", "deleted"];
const ISSUES: &[&str] = &[
    "opened",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "closed",
    "reopened",
    "assigned",
    "unassigned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "milestoned",
    "demilestoned",
    "typed",
    "untyped",
];
const DISCUSSION: &[&str] = &[
    "created",
    "edited",
    "deleted",
    "transferred",
    "pinned",
    "unpinned",
    "labeled",
    "unlabeled",
    "locked",
    "unlocked",
    "category_changed",
    "answered",
    "unanswered",
];

/// From GitHub's schema and "Events that trigger workflows" of its documentation.
pub(super) const EVENTS: &[Event] = &[
    typed("branch_protection_rule", MADE),
    typed(
        "check_run",
        &["created", "rerequested", "completed", "requested_action"],
    ),
    typed("check_suite", &["completed", "requested", "rerequested"]),
    plain("create"),
    plain("delete"),
    plain("deployment"),
    plain("deployment_status"),
    typed("discussion", DISCUSSION),
    typed("discussion_comment", MADE),
    plain("fork"),
    plain("gollum"),
    Event {
        name: "image_version",
        types: Types::Known(&["created", "ready", "deleted"]),
        filters: &["names", "versions"],
    },
    typed("issue_comment", MADE),
    typed("issues", ISSUES),
    typed("label", MADE),
    Event {
        name: "merge_group",
        types: Types::Known(&["checks_requested", "destroyed"]),
        filters: &["branches"],
    },
    typed("milestone", &["created", "closed", "opened", "edited", "deleted"]),
    plain("page_build"),
    typed("project", &["created", "closed", "reopened", "edited", "deleted"]),
    typed(
        "project_card",
        &["created", "moved", "converted", "edited", "deleted"],
    ),
    typed("project_column", &["created", "updated", "moved", "deleted"]),
    plain("public"),
    Event {
        name: "pull_request",
        types: Types::Known(PULL_REQUEST),
        filters: &["branches", "paths"],
    },
    typed("pull_request_comment", MADE),
    typed("pull_request_review", &["submitted", "edited", "dismissed"]),
    typed("pull_request_review_comment", MADE),
    Event {
        name: "pull_request_target",
        types: Types::Known(PULL_REQUEST),
        filters: &["branches", "paths"],
    },
    Event {
        name: "push",
        types: Types::None,
        filters: &["branches", "tags", "paths"],
    },
    typed("registry_package", &["published", "updated"]),
    typed(
        "release",
        &[
            "published",
            "unpublished",
            "created",
            "edited",
            "deleted",
            "prereleased",
            "released",
        ],
    ),
    Event {
        name: "repository_dispatch",
        types: Types::Free,
        filters: &[],
    },
    plain("schedule"),
    plain("status"),
    typed("watch", &["started"]),
    plain("workflow_call"),
    plain("workflow_dispatch"),
    Event {
        name: "workflow_run",
        types: Types::Known(&["requested", "completed", "in_progress"]),
        filters: &["workflows", "branches"],
    },
];
