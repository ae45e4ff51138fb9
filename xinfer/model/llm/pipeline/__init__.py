"""Everything that makes chat chat, shared by all LLM engines.

Requests go in as messages or text and come out as token ids; token ids come back in and leave as
text. `TextPipeline` is a replica's, `OutputPipeline` one request's.
"""

from xinfer.model.llm.pipeline.output import Output, OutputPipeline
from xinfer.model.llm.pipeline.pipeline import Prepared, TextPipeline

__all__ = ["Output", "OutputPipeline", "Prepared", "TextPipeline"]
