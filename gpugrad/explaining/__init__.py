"""The recorded graph of a tensor, for people: as text, Graphviz, Mermaid and a picture.

Reading the nodes is in `graph`, the texts in `texts`, places and drawing in `picture`. Nothing here is loaded until
`gg.explain` is called.
"""

from .graph import Explanation, Step, explain

__all__ = ["Explanation", "Step", "explain"]
