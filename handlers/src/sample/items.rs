//! The sample data set: 50 items of a shop.

use std::fmt::Write;

use super::random::Random;

/// A JSON array, indented by two, ending in a newline.
pub(super) fn dataset() -> String {
    let mut random = Random::named("dataset.json");
    let items: Vec<String> = (1..=ITEMS).map(|id| item(&mut random, id)).collect();
    format!("[\n{}\n]\n", items.join(",\n"))
}

fn item(random: &mut Random, id: u64) -> String {
    let mut json = String::new();
    let name = format!("{} {}", random.one(QUALITIES), random.one(THINGS));
    let category = random.one(CATEGORIES);
    let (price, quantity) = (random.within(1, 500), random.within(1, 100));
    let active = random.within(0, 3) > 0;
    let tags = tags(random).join(",\n      ");
    let (score, count) = (random.within(1, 50), random.within(1, 500));
    write!(
        json,
        r#"  {{
    "id": {id},
    "name": "{name}",
    "category": "{category}",
    "price": {price},
    "quantity": {quantity},
    "active": {active},
    "tags": [
      {tags}
    ],
    "rating": {{
      "score": {score},
      "count": {count}
    }}
  }}"#
    )
    .expect("a String takes everything");
    json
}

/// One to four different tags, quoted, in the order of the list.
fn tags(random: &mut Random) -> Vec<String> {
    let mut left = random.within(1, 4);
    let mut chosen = Vec::new();
    for (at, tag) in (1_u64..).zip(TAGS) {
        let rest = TAGS.len() as u64 - at + 1;
        if random.within(1, rest) <= left {
            chosen.push(format!("\"{tag}\""));
            left -= 1;
        }
    }
    chosen
}

const ITEMS: u64 = 50;

const QUALITIES: &[&str] =
    &["Amber", "Brisk", "Cedar", "Delta", "Ember", "Frost", "Grand", "Harbor", "Iron", "Juniper"];
const THINGS: &[&str] =
    &["Anvil", "Basket", "Compass", "Drill", "Easel", "Flask", "Globe", "Hammer", "Kettle", "Lamp"];
const CATEGORIES: &[&str] = &[
    "auto",
    "books",
    "clothing",
    "electronics",
    "garden",
    "home",
    "office",
    "sports",
    "tools",
    "toys",
];
const TAGS: &[&str] = &[
    "boxed", "classic", "durable", "handmade", "light", "quiet", "recycled", "seasonal", "spare",
    "washable",
];

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn items_have_the_shape_of_the_workload() {
        let items: Vec<Value> = serde_json::from_str(&dataset()).expect("JSON");
        assert_eq!(items.len(), 50);
        for (id, item) in (1..).zip(&items) {
            let keys: Vec<_> = item.as_object().expect("object").keys().collect();
            assert_eq!(
                keys,
                ["id", "name", "category", "price", "quantity", "active", "tags", "rating"]
            );
            assert_eq!(item["id"], id);
            assert!((1..=500).contains(&item["price"].as_u64().expect("integer")));
            let tags = item["tags"].as_array().expect("array").len();
            assert!((1..=4).contains(&tags), "item {id} has {tags} tags");
        }
    }
}
