"""LangChain's own classes against a server; prints what they gave, as JSON.

Arguments: the server's URL, and the uids of its chat and embedding models.
"""

import asyncio
import json
import sys
import warnings

with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # it is being sunset
    from langchain_community.embeddings import XinferenceEmbeddings
    from langchain_community.llms import Xinference

from langchain.agents import create_agent
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

url, chat, embedding = sys.argv[1:]
TEXTS = ["my bike is broken", "cheap flights"]
QUESTION = {"messages": [{"role": "user", "content": "What is the weather in Paris?"}]}
PROMPT = "Once upon a time"
GREEDY = {"max_tokens": 12, "temperature": 0}
asked: list[str] = []


@tool
def get_weather(city: str) -> str:
    """Tell the weather of a city."""
    asked.append(city)
    return '{"sky": "clear"}'


vectors = XinferenceEmbeddings(server_url=url, model_uid=embedding)
openai_vectors = OpenAIEmbeddings(
    base_url=f"{url}/v1",
    api_key="not needed",
    model=embedding,
    check_embedding_ctx_length=False,  # texts instead of the tokens of an OpenAI model
)
llm = Xinference(server_url=url, model_uid=chat)
model = ChatOpenAI(base_url=f"{url}/v1", api_key="not needed", model=chat, temperature=0)
agent = create_agent(model, [get_weather])
steps = agent.invoke(QUESTION)["messages"]

print(
    json.dumps(
        {
            "documents": vectors.embed_documents(TEXTS),
            "query": vectors.embed_query(TEXTS[0]),
            "openai_documents": openai_vectors.embed_documents(TEXTS),
            "openai_query": asyncio.run(openai_vectors.aembed_query(TEXTS[0])),
            "invoked": llm.invoke(PROMPT, generate_config=GREEDY),
            "streamed": list(llm.stream(PROMPT, generate_config={**GREEDY, "stream": True})),
            "steps": [[step.type, step.content] for step in steps],
            "asked": asked,
            "usage": steps[-1].usage_metadata,
        }
    )
)
