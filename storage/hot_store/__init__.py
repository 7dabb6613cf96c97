"""The hot store: live events of the last days, visible within moments. The consumer group writes it, GraphQL and the live page read it.

Here are the stores and what may be asked of them; who writes is `streaming.hot_store`. Bronze stays the truth: a hot store can be dropped
and filled again from Kafka.
"""
