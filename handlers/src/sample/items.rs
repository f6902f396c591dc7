//! The goods of a shop, made from seeds: elements of the data sets, rows of the databases.

use std::fmt::Write;

use super::random::Random;

/// One article.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// From 1 on, without gaps.
    pub id: u32,
    /// Two words.
    pub name: String,
    /// One of ten.
    pub category: &'static str,
    /// 1 to 500.
    pub price: u32,
    /// 1 to 100.
    pub quantity: u32,
    /// Three of four are.
    pub active: bool,
    /// One to four different ones of ten, in the order of the alphabet.
    pub tags: Vec<&'static str>,
    /// 1 to 50.
    pub rating_score: u32,
    /// 1 to 500.
    pub rating_count: u32,
}

/// The first `count` items of the stream that belongs to `name`.
pub(super) fn items(name: &str, count: u32) -> impl Iterator<Item = Item> + use<> {
    let mut random = Random::named(name);
    (1..=count).map(move |id| Item::draw(&mut random, id))
}

/// A JSON array, indented by two, ending in a newline.
pub(super) fn dataset(items: impl Iterator<Item = Item>) -> Vec<u8> {
    let items: Vec<String> = items.map(|item| item.json()).collect();
    format!("[\n{}\n]\n", items.join(",\n")).into_bytes()
}

impl Item {
    /// Its tags as a JSON array, the way the databases hold them: no words in them need an escape.
    pub fn tags_json(&self) -> String {
        format!("[\"{}\"]", self.tags.join("\",\""))
    }

    fn draw(random: &mut Random, id: u32) -> Self {
        let name = format!("{} {}", random.one(QUALITIES), random.one(THINGS));
        let category = random.one(CATEGORIES);
        let (price, quantity) = (random.within(1, 500), random.within(1, 100));
        let active = random.within(0, 3) > 0;
        let tags = tags(random);
        let (rating_score, rating_count) = (random.within(1, 50), random.within(1, 500));
        Self { id, name, category, price, quantity, active, tags, rating_score, rating_count }
    }

    fn json(&self) -> String {
        let mut json = String::new();
        let Self { id, name, category, price, quantity, active, tags, .. } = self;
        let tags = tags.join("\",\n      \"");
        let (score, count) = (self.rating_score, self.rating_count);
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
      "{tags}"
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
}

/// One to four different tags, in the order of the list.
fn tags(random: &mut Random) -> Vec<&'static str> {
    let mut left = random.within(1, 4);
    let mut chosen = Vec::new();
    for (rest, tag) in (1..=10).rev().zip(TAGS) {
        if random.within(1, rest) <= left {
            chosen.push(*tag);
            left -= 1;
        }
    }
    chosen
}

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
const TAGS: &[&str; 10] = &[
    "boxed", "classic", "durable", "handmade", "light", "quiet", "recycled", "seasonal", "spare",
    "washable",
];

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn items_have_the_shape_of_the_workload() {
        let made: Vec<Item> = items("test", 200).collect();
        let text = dataset(made.iter().cloned());
        let read: Vec<Value> = serde_json::from_slice(&text).expect("JSON");
        assert_eq!(read.len(), 200);
        for ((id, item), value) in (1..).zip(&made).zip(&read) {
            let keys: Vec<_> = value.as_object().expect("object").keys().collect();
            assert_eq!(
                keys,
                ["id", "name", "category", "price", "quantity", "active", "tags", "rating"]
            );
            assert_eq!(item.id, id);
            assert!((1..=500).contains(&item.price));
            assert!((1..=4).contains(&item.tags.len()), "item {id} has {:?}", item.tags);
            let tags: Value = serde_json::from_str(&item.tags_json()).expect("JSON");
            assert_eq!(value["tags"], tags);
            let Item { name, category, price, quantity, active, .. } = item;
            let (score, count) = (item.rating_score, item.rating_count);
            let expected = json!({ "id": id, "name": name, "category": category, "price": price,
                "quantity": quantity, "active": active, "tags": tags,
                "rating": { "score": score, "count": count } });
            assert_eq!(value, &expected);
        }
        for category in CATEGORIES {
            assert!(made.iter().any(|item| item.category == *category), "{category}");
        }
    }
}
