"""The proof that it learns, run by `ng_train_demo`: a tiny model made on the spot, warmed up, then trained by TRL."""
