//! The index.
mod byte_arena;
mod chunked_vec;
mod id_table;
mod interner;
mod seeded_hash;
mod sorted_ids;
