//! HOW a provider is spoken to: catalogue, prices, wire translation, where a credential goes, what an outcome means.

pub mod translate;
