"""tiny-chat: the corpus, training and score of the small chat model that ships with xinfer."""
