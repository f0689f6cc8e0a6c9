//! What people are told: notices of what happened, and the notifications that carry each of them along its routes.
//!
//! A notice is written in the transaction of what it tells of. Addresses lie here only as templates.

use crate::db::{Connection, record};
use crate::error::Result;

record! {
    /// What happened, as it was known then.
    pub struct Notice {
        pub id: i64,
        pub project_id: i64,
        pub environment: String,
        pub deployment_id: Option<i64>,
        pub run_id: Option<i64>,
        /// In the words of `pilotage.yml`.
        pub event: String,
        /// The same thing said again is one notice.
        pub key: String,
        /// As JSON.
        pub message: String,
        pub at: i64,
    }
}

record! {
    /// A notice on its way along one route.
    pub struct Notification {
        pub id: i64,
        pub notice_id: i64,
        /// The same at every try.
        pub key: String,
        /// As JSON.
        pub route: String,
        pub channel: String,
        /// Where it was sent to last; empty before that was known.
        pub host: String,
        /// `pending`, `told` or `given-up`.
        pub state: String,
        pub tries: i64,
        pub next_at: Option<i64>,
        /// How the last try ended, if it failed.
        pub error: String,
        /// When it came to its state, or was last tried.
        pub at: i64,
    }
}

record! {
    /// A notification as it is listed beside a deployment.
    pub struct ToldRow {
        pub channel: String,
        pub host: String,
        pub event: String,
        pub state: String,
        pub tries: i64,
        pub next_at: Option<i64>,
        pub error: String,
        pub at: i64,
    }
}

impl Connection {
    /// Adds a notice, unless one with its key is there. The id given is not looked at.
    pub async fn add_notice(&mut self, notice: &Notice) -> Result<()> {
        let id = self.next_number("notice").await?;
        sqlx::query(
            "INSERT INTO notices (id, project_id, environment, deployment_id, run_id, event, key, message, at, routed)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0) ON CONFLICT (key) DO NOTHING",
        )
        .bind(id)
        .bind(notice.project_id)
        .bind(&notice.environment)
        .bind(notice.deployment_id)
        .bind(notice.run_id)
        .bind(&notice.event)
        .bind(&notice.key)
        .bind(&notice.message)
        .bind(notice.at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    pub async fn notice(&mut self, id: i64) -> Result<Option<Notice>> {
        let row = sqlx::query_as("SELECT * FROM notices WHERE id = $1").bind(id);
        Ok(row.fetch_optional(&mut self.inner).await?)
    }

    /// Notices whose notifications are not made yet, the oldest first.
    pub async fn unrouted_notices(&mut self) -> Result<Vec<Notice>> {
        let rows = sqlx::query_as("SELECT * FROM notices WHERE routed = 0 ORDER BY id LIMIT 100");
        Ok(rows.fetch_all(&mut self.inner).await?)
    }

    /// Makes a notice's notifications, once: of each its key, its route as JSON and its channel.
    pub async fn route_notice(
        &mut self,
        id: i64,
        routes: &[(String, String, String)],
        now: i64,
    ) -> Result<()> {
        let statement = sqlx::query("UPDATE notices SET routed = 1 WHERE id = $1 AND routed = 0").bind(id);
        if statement.execute(&mut self.inner).await?.rows_affected() == 0 {
            return Ok(());
        }
        for (key, route, channel) in routes {
            let number = self.next_number("notification").await?;
            sqlx::query(
                "INSERT INTO notifications (id, notice_id, key, route, channel, host, state, tries, next_at, error, at)
                 VALUES ($1, $2, $3, $4, $5, '', 'pending', 0, $6, '', $6)",
            )
            .bind(number)
            .bind(id)
            .bind(key)
            .bind(route)
            .bind(channel)
            .bind(now)
            .execute(&mut self.inner)
            .await?;
        }
        Ok(())
    }

    /// Notifications whose time has come, the longest due first.
    pub async fn due_notifications(&mut self, now: i64, limit: i64) -> Result<Vec<Notification>> {
        let rows =
            sqlx::query_as("SELECT * FROM notifications WHERE next_at <= $1 ORDER BY next_at, id LIMIT $2");
        Ok(rows.bind(now).bind(limit).fetch_all(&mut self.inner).await?)
    }

    /// When the next one that is not due at `now` is to be tried.
    pub async fn next_notification(&mut self, now: i64) -> Result<Option<i64>> {
        let row = sqlx::query_scalar("SELECT MIN(next_at) FROM notifications WHERE next_at > $1");
        Ok(row.bind(now).fetch_one(&mut self.inner).await?)
    }

    /// Writes how a try ended.
    pub async fn update_notification(&mut self, row: &Notification) -> Result<()> {
        sqlx::query(
            "UPDATE notifications SET host = $2, state = $3, tries = $4, next_at = $5, error = $6, at = $7 WHERE id = $1",
        )
        .bind(row.id)
        .bind(&row.host)
        .bind(&row.state)
        .bind(row.tries)
        .bind(row.next_at)
        .bind(&row.error)
        .bind(row.at)
        .execute(&mut self.inner)
        .await?;
        Ok(())
    }

    /// What was told of a deployment, and of its run's waiting for the same environment; the oldest first.
    pub async fn told_of_deployment(
        &mut self,
        deployment: i64,
        run: Option<i64>,
        environment: &str,
    ) -> Result<Vec<ToldRow>> {
        let rows = sqlx::query_as(
            "SELECT n.channel, n.host, o.event, n.state, n.tries, n.next_at, n.error, n.at
             FROM notices o JOIN notifications n ON n.notice_id = o.id
             WHERE o.deployment_id = $1 OR (o.run_id = $2 AND o.deployment_id IS NULL AND o.environment = $3)
             ORDER BY n.id",
        );
        Ok(rows
            .bind(deployment)
            .bind(run)
            .bind(environment)
            .fetch_all(&mut self.inner)
            .await?)
    }

    /// Notices that are older, and of which nobody is still to be told.
    pub(crate) async fn delete_old_notices(&mut self, before: i64) -> Result<()> {
        for statement in [
            "DELETE FROM notifications WHERE notice_id IN
                 (SELECT id FROM notices WHERE at < $1 AND routed = 1
                  AND id NOT IN (SELECT notice_id FROM notifications WHERE next_at IS NOT NULL))",
            "DELETE FROM notices WHERE at < $1 AND routed = 1
             AND id NOT IN (SELECT notice_id FROM notifications WHERE next_at IS NOT NULL)",
        ] {
            sqlx::query(statement)
                .bind(before)
                .execute(&mut self.inner)
                .await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Store;

    fn notice(key: &str, at: i64) -> Notice {
        Notice {
            id: 0,
            project_id: 1,
            environment: "production".to_owned(),
            deployment_id: Some(7),
            run_id: Some(3),
            event: "live".to_owned(),
            key: key.to_owned(),
            message: "{}".to_owned(),
            at,
        }
    }

    #[tokio::test]
    async fn a_notice_is_routed_once_and_kept_while_somebody_is_to_be_told() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(directory.path()).await.unwrap();
        let routes = vec![("k".to_owned(), "{}".to_owned(), "slack".to_owned())];
        let (due, left) = store
            .write(move |c| {
                Box::pin(async move {
                    c.add_notice(&notice("a", 10)).await?;
                    c.add_notice(&notice("a", 11)).await?;
                    let unrouted = c.unrouted_notices().await?;
                    assert_eq!(unrouted.len(), 1);
                    for _ in 0..2 {
                        c.route_notice(unrouted[0].id, &routes, 20).await?;
                    }
                    assert_eq!(c.unrouted_notices().await?, []);
                    assert_eq!(c.due_notifications(19, 9).await?, []);
                    assert_eq!(c.next_notification(19).await?, Some(20));
                    let due = c.due_notifications(20, 9).await?;
                    c.delete_old_notices(100).await?;
                    assert_eq!(c.told_of_deployment(7, None, "").await?.len(), 1);
                    let told = Notification {
                        state: "told".to_owned(),
                        next_at: None,
                        ..due[0].clone()
                    };
                    c.update_notification(&told).await?;
                    c.delete_old_notices(10).await?;
                    assert_eq!(c.told_of_deployment(7, None, "").await?[0].state, "told");
                    c.delete_old_notices(11).await?;
                    Ok((due, c.told_of_deployment(7, None, "").await?))
                })
            })
            .await
            .unwrap();
        assert_eq!((due.len(), left.len()), (1, 0));
    }
}
