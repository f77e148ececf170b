//! The servers of a measurement and the products in them.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::client::Connection;
use crate::request::Template;
use crate::server::{Server, beside_this, until};
use crate::workload::{ADMIN_KEY, KEY, product_id};

/// Products in one request of an import.
const IMPORT_ROWS: usize = 20_000;
/// Units of each product: more than any run can sell.
const UNITS: i64 = 1_000_000_000;
/// How long a store may take to have the whole catalogue.
const SYNC: Duration = Duration::from_secs(120);

/// Where the programs and their data are.
#[derive(Clone, Debug)]
pub struct Site {
    /// The program `central-api`.
    pub central: Option<PathBuf>,
    /// The program `store-api`.
    pub store: Option<PathBuf>,
    /// The folder under which each server gets a fresh folder of its own. The figures for durable
    /// writes are those of this folder's disk.
    pub data_root: PathBuf,
}

impl Site {
    /// Starts central with `products` products.
    ///
    /// # Errors
    /// If it does not start or refuses the products.
    pub async fn central(&self, products: usize) -> io::Result<Server> {
        let binary = found(self.central.as_deref(), "central-api")?;
        let server = Server::central(&binary, &self.data_root).await?;
        import(server.address, products).await?;
        Ok(server)
    }

    /// Starts the store `id` and waits until it has `products` products.
    ///
    /// # Errors
    /// If it does not start or does not get the catalogue in time.
    pub async fn store(
        &self,
        id: &str,
        central: SocketAddr,
        products: usize,
    ) -> io::Result<Server> {
        let binary = found(self.store.as_deref(), "store-api")?;
        let server = Server::store(&binary, &self.data_root, id, central).await?;
        serves(server.address, products).await?;
        Ok(server)
    }

    /// Starts the ceiling.
    ///
    /// # Errors
    /// If it does not start.
    pub async fn ceiling(&self) -> io::Result<Server> {
        Server::ceiling(&self.data_root).await
    }
}

/// Waits until the store at `address` serves the last of `products` products.
///
/// # Errors
/// If it does not in time.
pub async fn serves(address: SocketAddr, products: usize) -> io::Result<()> {
    let last = product_id(products.saturating_sub(1));
    let request = Template::get(&format!("/v1/store/inventory/{last}"), KEY);
    until("the store's first sync", SYNC, || async {
        match Connection::open(address).await {
            Ok(mut connection) => connection
                .exchange(&request)
                .await
                .is_ok_and(|response| response.is_success()),
            Err(_) => false,
        }
    })
    .await
}

fn found(given: Option<&Path>, name: &str) -> io::Result<PathBuf> {
    given.map_or_else(|| beside_this(name), |path| Ok(path.to_owned()))
}

/// Puts the bench's products into central.
async fn import(central: SocketAddr, products: usize) -> io::Result<()> {
    let mut connection = Connection::open(central).await?;
    let path = "/v1/admin/products/import?mode=upsert&stock=set";
    for first in (0..products).step_by(IMPORT_ROWS) {
        let rows = first..first.saturating_add(IMPORT_ROWS).min(products);
        let key = format!("bench-import-{first}");
        let headers = [
            ("x-api-key", ADMIN_KEY),
            ("content-type", "application/x-ndjson"),
            ("idempotency-key", key.as_str()),
        ];
        let mut request = Vec::new();
        Template::new("POST", path, &headers).with_body(&mut request, lines(rows).as_bytes());
        let response = connection.exchange(&request).await?;
        if !response.is_success() || response.integer("rejected") != Some(0) {
            return Err(io::Error::other(format!(
                "import: {} {}",
                response.status,
                String::from_utf8_lossy(response.body)
            )));
        }
    }
    Ok(())
}

/// The import lines of the products numbered `rows`.
fn lines(rows: std::ops::Range<usize>) -> String {
    let mut body = String::with_capacity(rows.len().saturating_mul(160));
    for index in rows {
        let id = product_id(index);
        writeln!(
            body,
            r#"{{"productId":"{id}","name":"Bench product {index}","category":"Bench {}","sku":"B-{index}","price":12.34,"onHand":{UNITS}}}"#,
            index % 50,
        )
        .expect("writing to a String cannot fail");
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn import_lines_are_json() {
        let text = lines(9..11);
        let rows: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[1]["productId"], "P-000010");
        assert_eq!(rows[1]["onHand"], UNITS);
    }
}
