"""How a caller's name of a model becomes the one that a server gets: the provider's own, or the caller's."""

from __future__ import annotations

from ..provider import ProviderModelMixin, class_or_instance


class PassedModelMixin(ProviderModelMixin):
    """``_model``: the name to send upstream whatever is asked for, where one was configured."""

    _model: str | None = None

    @class_or_instance
    def get_model(self, model: str | None) -> str:
        """The name to send upstream: the configured one, else the caller's, which must be among ``models`` if there are any."""
        if self._model:
            return self._model
        if self.models or not model:
            return super().get_model(model)
        return model
