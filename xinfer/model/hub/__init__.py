"""Models from HuggingFace and ModelScope: their files listed, read, downloaded and kept.

The transfer is our own, over httpx and the routes that the hubs' libraries use: those libraries
begin a file anew when their process was ended, hold what they have not finished in a cache that
others write to, and take 32 and 42 MiB each just to be imported. They are the reference in tests.
What they have cached is found and used, and never written to.
"""
