//! Statements prepared and compared with their routes, and nothing run: for a check before serving.

use std::time::Duration;

use handlers::query::Query;
use tokio::runtime;
use tokio::time::timeout;
use tokio_postgres::{Client, Config};

use super::connect::{Connected, connect};
use super::effect::effect;
use super::error_class::{ErrorClass, spell};
use super::prepared::Prepared;
use super::statement_names::Naming;
use super::with_defaults;

/// For each query what is wrong with it, if anything.
///
/// # Errors
/// The server cannot be reached within `limit`, or does not go on answering.
pub(crate) fn problems(
    server: &Config,
    queries: &[&Query],
    limit: Duration,
) -> Result<Vec<Option<String>>, String> {
    let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build();
    runtime.map_err(|error| error.to_string())?.block_on(async {
        let connecting = with_defaults(server.clone());
        // Unnamed, they leave nothing behind a connection pooler.
        let connected = timeout(limit, connect(&connecting, &Naming::Unnamed)).await;
        let Connected { client, driver, .. } = connected
            .map_err(|_| format!("it does not answer within {limit:?}"))?
            .map_err(|error| error.to_string())?;
        tokio::spawn(driver);
        let all = async {
            let mut problems = Vec::new();
            for query in queries {
                problems.push(problem(&client, query).await?);
            }
            Ok(problems)
        };
        timeout(PREPARE_TIMEOUT, all).await.unwrap_or_else(|_| Err("it takes too long".into()))
    })
}

async fn problem(client: &Client, query: &Query) -> Result<Option<String>, String> {
    match client.prepare(query.sql()).await {
        Ok(statement) => {
            let prepared = Prepared::new(statement);
            if let Err(problem) = prepared.compatibility(query.columns()) {
                return Ok(Some(problem.to_string()));
            }
            if !query.is_taken_for_read() {
                return Ok(None);
            }
            let effect = effect(client, query, prepared.statement.params().len()).await;
            Ok(effect.map_err(|error| spell(&error))?.problem())
        }
        Err(error) => match ErrorClass::of(&error) {
            ErrorClass::Lost | ErrorClass::Full | ErrorClass::Undone => Err(spell(&error)),
            _ => Ok(Some(spell(&error))),
        },
    }
}

/// For all statements together.
const PREPARE_TIMEOUT: Duration = Duration::from_secs(5);
