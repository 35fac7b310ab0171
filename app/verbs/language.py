"""The language model that rerankers may ask: named, tried, forgotten. Off until somebody names one."""

from __future__ import annotations

import os
from collections.abc import Sequence

from app.results.search import LanguageModelView
from app.verbs.base import Verbs, writes
from engine.models.chat import SETTING, TIMEOUT_S, URL, ChatModel, Endpoint, named_endpoint


class LanguageVerbs(Verbs):
    """The endpoint that the user has named."""

    def language_model(self) -> LanguageModelView | None:
        """The named endpoint; None where there is none. Raises BadInput where the environment names an unusable one."""
        endpoint = named_endpoint(self.engine.workspace.setting(SETTING))
        return None if endpoint is None else _view(endpoint)

    @writes
    def set_language_model(
        self, url: str, model: str, *, timeout_s: float = TIMEOUT_S, allow_hosts: Sequence[str] = ()
    ) -> LanguageModelView:
        """Name the endpoint that rerankers may send queries and documents to. allow_hosts: hosts to ask although their addresses are link-local
        or a metadata service's. Raises BadInput, ReadOnly."""
        endpoint = Endpoint.checked(url, model, timeout_s, allow_hosts)
        told = {
            "url": endpoint.url,
            "model": endpoint.model,
            "timeout_s": endpoint.timeout_s,
            "allow_hosts": list(allow_hosts),
        }
        self.engine.workspace.set_setting(SETTING, told)
        return _view(endpoint)

    @writes
    def forget_language_model(self) -> None:
        """Name none any more; pipelines that ask one then say so. Raises ReadOnly."""
        self.engine.workspace.set_setting(SETTING, None)

    def try_language_model(self) -> LanguageModelView:
        """Put one small question, and see whether log-probabilities come back. Raises BadInput, Unreachable."""
        model: ChatModel = self.engine.language_model()
        answer = model.ask("Answer with the letter A only.", max_tokens=1, alternatives=5)
        return _view(model.endpoint, answer.text.strip(), bool(answer.first), answer.ms)


def _view(
    endpoint: Endpoint, answer: str = "", log_probabilities: bool | None = None, ms: float | None = None
) -> LanguageModelView:
    return LanguageModelView(
        url=endpoint.url,
        model=endpoint.model,
        timeout_s=endpoint.timeout_s,
        has_key=bool(endpoint.key),
        from_environment=bool(os.environ.get(URL)),
        answer=answer[:80],
        log_probabilities=log_probabilities,
        ms=ms,
    )
