//! The state that facts fold into: products with what is held of them, orders, and API keys.

use super::access::Access;
use super::decision::Decision;
use super::inventory::Inventory;
use super::order::Orders;

/// Everything that decisions depend on.
#[derive(Clone, Debug, Default)]
pub struct State {
    /// Products, and the units that are held of them.
    pub inventory: Inventory,
    /// Orders.
    pub orders: Orders,
    /// API keys.
    pub access: Access,
}

impl State {
    /// Folds a decision in and notes `record` as the last one about everything in it. Cannot fail: a
    /// decision is made of facts.
    pub fn apply(&mut self, decision: &Decision, record: u64) {
        for event in &decision.events {
            self.inventory.apply_at(event, record);
        }
        for reservation in &decision.reservations {
            self.inventory.put_reservation(reservation);
        }
        for event in &decision.orders {
            self.orders.put(&event.order, record);
        }
        for key in &decision.api_keys {
            self.access.put(key);
        }
        for rejection in decision.rejections() {
            if let Some(product) = rejection.product_id() {
                self.inventory.touch(product.as_str(), record);
            }
            if let Some(order) = rejection.order_id() {
                self.orders.touch(order.as_str(), record);
            }
        }
    }
}
