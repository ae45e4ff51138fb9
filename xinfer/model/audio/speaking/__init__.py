"""What the engines share that speak: a request in sentences, and its answer in sounds."""
