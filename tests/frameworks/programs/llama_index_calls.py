"""LlamaIndex's own classes against a server; prints what they gave, as JSON.

Arguments: the server's URL, and the uids of its embedding and rerank models.
"""

import asyncio
import json
import sys

from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.embeddings.xinference import XinferenceEmbedding
from llama_index.postprocessor.xinference_rerank import XinferenceRerank

url, embedding, rerank = sys.argv[1:]
TEXTS = ["my bike is broken", "cheap flights"]
DOCUMENTS = ["cheap flights", "how to mend a bicycle", "a soup of lentils"]

vectors = XinferenceEmbedding(model_uid=embedding, base_url=url)
reranker = XinferenceRerank(model=rerank, base_url=url, top_n=2)
ranked = reranker.postprocess_nodes(
    [NodeWithScore(node=TextNode(text=text)) for text in DOCUMENTS],
    query_bundle=QueryBundle(TEXTS[0]),
)

print(
    json.dumps(
        {
            "documents": vectors.get_text_embedding_batch(TEXTS),
            "together": asyncio.run(vectors.aget_text_embedding_batch(TEXTS)),
            "query": vectors.get_query_embedding(TEXTS[0]),
            "ranked": [[one.text, one.score] for one in ranked],
        }
    )
)
