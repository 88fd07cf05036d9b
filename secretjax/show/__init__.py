"""What a run says: figures, sentences, claims, notebooks, the site."""
