"""From a checked config to live parts, wired by name, and from a batch to the views that an objective sees."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.optim import Optimizer

from unlabeled.config.run import RunConfig
from unlabeled.contract import Batch, Data, Encoder, Loss, MakeDecoder, Mask, Needs, Objective, Tokenizer, View, Views
from unlabeled.data.about import settle
from unlabeled.data.fitting import fitting
from unlabeled.draw import Draw
from unlabeled.errors import UsageError
from unlabeled.plugins.live import make as make
from unlabeled.plugins.registry import registry
from unlabeled.runs.pretrained import load
from unlabeled.training.optimizers import parameter_groups
from unlabeled.transfer import placed

STAND_IN = 8  # width, or number of ids, of a tokenizer that is missing
MASKED_ROLES = ("global", "source")  # the roles that a mask applies to


@dataclass(frozen=True)
class Parts:
    """Everything that a run is made of, live."""

    config: RunConfig
    data: Data
    views: Views
    tokenizer: Tokenizer | None
    mask: Mask | None
    encoder: Any  # an Encoder that is an nn.Module
    objective: Any  # an Objective that is an nn.Module
    on_host: bool = False  # whether views are made where the batch was read

    def prepare(self, batch: Batch, seed: int, epoch: int) -> list[View]:
        """The views of a batch, with layout, tokens and mask: what the objective is called with.

        Content and ids are tokenized for the views that a mask may touch, where the objective asks for them.
        """
        needs: Needs = self.objective.needs
        laid_out = self.mask or needs.content or needs.vocabulary or self.on_host
        draw = Draw(seed, epoch, batch.ids)
        views = []
        for number, view in enumerate(self.views(batch, draw)):
            if view.layout is None and laid_out:
                view = replace(view, layout=self.encoder.layout(view.batch))
            if view.role in MASKED_ROLES:
                if self.tokenizer is not None and (needs.content or needs.vocabulary):
                    assert view.layout is not None
                    content, ids = self.tokenizer(view.batch, view.layout)
                    view = replace(view, content=content, ids=ids)
                if self.mask is not None:
                    view = self.mask(view, draw.at(number))
            views.append(view)
        return views

    def transfer(self, batch: Batch, device: torch.device) -> Batch:
        """The batch where its views are made: on the device, or as it was read."""
        return batch if self.on_host else batch.to(device)

    def step_views(self, batch: Batch, epoch: int) -> list[View]:
        """:meth:`prepare` by the run's seed, without gradients and in full precision, on the encoder's device."""
        device = next(self.encoder.parameters()).device
        with torch.no_grad(), torch.autocast(device.type, enabled=False):
            views = self.prepare(batch, self.config.training.seed, epoch)
            return views if batch.ids.device == device else placed(views, device)

    def loss(self, batch: Batch, epoch: int) -> Loss:
        """What a step minimizes: the objective's loss of the views of ``batch``."""
        loss: Loss = self.objective(self.encoder, self.step_views(batch, epoch))
        return loss

    def optimizer(self, steps: int) -> tuple[Optimizer, Callable[[float], float]]:
        """The run's optimizer of encoder and objective, and its schedule over ``steps`` steps: see ``set_rate``."""
        groups = parameter_groups(self.encoder, self.objective)
        optimizer: Optimizer = part(self.config, "optimizer", {"groups": groups})
        for group in optimizer.param_groups:
            group["full_lr"] = group["lr"]
        return optimizer, part(self.config, "schedule", {"steps": steps})


def part(config: RunConfig, kind: str, wired: Mapping[str, Any]) -> Any:
    """The live part that a run chose for ``kind``; None where it uses none."""
    if kind not in config.parts:
        return None
    choice = config.parts[kind]
    return make(config.domain, kind, choice.name, choice.settings, wired)


def clean_views(domain: str, spec: Any) -> Views:
    """The views of ``domain`` that features are taken from, at their defaults."""
    name = registry().domain(domain).defaults.get("clean")
    if name is None:
        raise UsageError(f"domain {domain!r} names no clean views, from which features are taken")
    views: Views = make(domain, "views", name, {}, {"spec": spec})
    return views


def build_data(config: RunConfig, path: str | None = None) -> Data:
    """The data set of a run, or the one at ``path`` read as the run reads its own."""
    data: Data = part(config, "data", {"path": path or config.data_path, "max_bad": config.training.max_bad})
    if len(data) == 0:
        raise UsageError(f"{data.describe()}: no samples")
    settle(data, config.parts["data"].settings.get("classes"))
    return data


def build_encoder(config: RunConfig, spec: Any) -> Any:
    """The encoder, with weights drawn from the run's seed alone."""
    with _seeded(config.training.seed):
        return part(config, "encoder", {"spec": spec})


def trainable(data: Data) -> torch.Tensor:
    """``int64[N]``: ids of the samples that training may see.

    Those of a ``transductive`` data set (nodes of one graph) cannot be held out: all are seen, without their labels.
    """
    if data.test is None or getattr(data, "transductive", False):
        return torch.arange(len(data))
    val = getattr(data, "val", None)
    return torch.nonzero(~(data.test if val is None else data.test | val))[:, 0]


def build_untrained(config: RunConfig, spec: Any, like: Any) -> Any:
    """The architecture of ``like``, with weights drawn from the run's seed alone: a name or folder of trained weights
    stands for its architecture."""
    choice = config.parts["encoder"]
    settings = {**choice.settings, **getattr(like, "resolved", {})}
    settings |= {"pretrained": False} if settings.get("pretrained") else {}
    return build_encoder(replace(config, parts={**config.parts, "encoder": replace(choice, settings=settings)}), spec)


def build(config: RunConfig, data: Data | None = None) -> Parts:
    """Every part of a run, wired and checked against the objective's needs."""
    data = build_data(config) if data is None else data
    if config.training.batch_size == 0:
        config = config.with_training(batch_size=len(trainable(data)))
    spec = data.spec
    encoder = build_encoder(config, spec)
    views = part(config, "views", {"spec": spec})
    bring(data, views)
    tokenizer = part(config, "tokenizer", {"spec": spec, "encoder": encoder})
    if tokenizer is not None and hasattr(tokenizer, "fit"):
        with fitting(data, trainable(data)) as train:
            tokenizer.fit(train, config.training.seed)
    mask = part(config, "mask", {"spec": spec, "encoder": encoder})
    wired: dict[str, Any] = {"encoder": encoder, "samples": len(data)}
    decoder = _decoder(config) if "decoder" in config.parts else None
    # where there is none, a stand-in: the objective is made all the same, so that its needs are all said at once
    wired["decoder"] = decoder or (lambda dim, width: torch.nn.Linear(dim, width))
    wired["content"] = (tokenizer.width if tokenizer else 0) or STAND_IN
    wired["vocabulary"] = (tokenizer.vocabulary if tokenizer else 0) or STAND_IN
    settings = config.parts["objective"].settings
    if run := settings.get("run") or settings.get("teacher"):
        wired["frozen"] = frozen(config.domain, run)
    with _seeded(config.training.seed + 1):
        objective: Objective = part(config, "objective", wired)
    needs = objective.needs
    if not needs.hidden and not needs.predict:
        mask = None
    if mask is not None and hasattr(mask, "fit"):
        with fitting(data, trainable(data)) as train:
            mask.fit(train, config.training.seed)
    if not needs.content and not needs.vocabulary:
        tokenizer = None
    errors = unmet(config, needs, views, tokenizer, mask, encoder, decoder)
    if errors:
        raise UsageError("\n  ".join(errors))
    if hasattr(data, "even"):
        data.even = needs.per_sample
    if hasattr(encoder, "prepare"):
        encoder.prepare(needs)
    on_host = registry().domain(config.domain).on_host
    return Parts(config, data, views, tokenizer, mask, encoder, objective, on_host)


def _decoder(config: RunConfig) -> MakeDecoder:
    """The run's decoder with its settings bound, as objectives receive it."""
    return lambda dim, width: part(config, "decoder", {"dim": dim, "width": width})


def frozen(domain: str, run: str) -> Any:
    """The encoder of a run folder of ``domain``, in evaluation mode and without gradients."""
    found = load(run)
    if found.domain != domain:
        raise UsageError(f"{run} is a run of domain {found.domain!r}; a run of {domain!r} is needed")
    return found.encoder.requires_grad_(False)


def bring(data: Data, views: Views) -> None:
    """Have the data's batches carry what views ask for beside each sample (``asks = ("near",)``: its neighbors)."""
    asks = tuple(getattr(views, "asks", ()))
    if asks and not hasattr(data, "bring"):
        raise UsageError(f"the views ask for {', '.join(asks)} samples, and {data.describe()} can bring none")
    if asks:
        data.bring(asks)  # type: ignore[attr-defined]


def unmet(
    config: RunConfig,
    needs: Needs,
    views: Views,
    tokenizer: Tokenizer | None,
    mask: Mask | None,
    encoder: Encoder,
    decoder: MakeDecoder | None = None,
) -> list[str]:
    """What the objective needs and does not get; each line says what would satisfy it."""
    who = f"objective {config.parts['objective'].name!r}"
    errors = []
    for role, count in needs.views.items():
        found = views.roles.count(role)
        if found < count:
            chosen = config.parts["views"].name
            errors.append(
                f"{who} needs {count} {role} view{'s' * (count > 1)}; views {chosen!r} make {found}. "
                f"Choose others with --views ({_known(config, 'views')})"
            )
    extra = set(views.roles) - set(needs.views) - set(needs.uses)
    if extra:
        errors.append(
            f"{who} makes no use of {', '.join(sorted(extra))} views, and views {config.parts['views'].name!r} "
            f"make them: choose others with --views ({_known(config, 'views')})"
        )
    if needs.hidden and (mask is None or not mask.sets & {"hidden", "swap", "shown"}):
        errors.append(f"{who} needs a mask that hides rows: choose one with --mask ({_known(config, 'mask')})")
    if needs.predict and (mask is None or mask.targets < needs.predict):
        found = 0 if mask is None else mask.targets
        errors.append(
            f"{who} needs a mask with {needs.predict} predict set{'s' * (needs.predict > 1)}, found {found}: "
            f"choose one with --mask ({_known(config, 'mask')})"
        )
    if needs.decoder and decoder is None:
        errors.append(f"{who} needs a decoder: choose one with --decoder ({_known(config, 'decoder')})")
    width, ids = (0, 0) if tokenizer is None else (tokenizer.width, tokenizer.vocabulary)
    if width < needs.content:
        least = f" of at least {needs.content} numbers a row, found {width}" if width else ""
        errors.append(f"{who} needs continuous content{least}: choose a tokenizer ({_known(config, 'tokenizer')})")
    if ids < needs.vocabulary:
        least = f" of at least {needs.vocabulary} kinds, found {ids}" if ids else ""
        errors.append(
            f"{who} needs discrete tokens{least}: choose a tokenizer that quantizes ({_known(config, 'tokenizer')})"
        )
    lacking = needs.encoder - encoder.can
    reasons: Mapping[str, str] = getattr(encoder, "cannot", {})  # what no other encoder could mend
    errors += [f"{who} needs an encoder that can {name}: {reasons[name]}" for name in sorted(lacking & set(reasons))]
    lacking -= set(reasons)
    if lacking:
        errors.append(
            f"{who} needs an encoder that can {', '.join(sorted(lacking))}; {config.parts['encoder'].name!r} can "
            f"{', '.join(sorted(encoder.can))}: choose one with --encoder ({_known(config, 'encoder')})"
        )
    missing = set(needs.params) - set(views.params)
    if missing:
        errors.append(f"{who} reads view parameters {', '.join(sorted(missing))}; views give {', '.join(views.params)}")
    t = config.training
    ranks = t.num_nodes * (int(t.devices) if str(t.devices).isdigit() else 1)  # auto: known to training.run.check
    return errors + too_few(config, needs, ranks)


def too_few(config: RunConfig, needs: Needs, ranks: int) -> list[str]:
    """An error where the objective sees fewer samples in a micro-step on one of ``ranks`` than it needs."""
    t = config.training
    parts = t.accumulate * max(1, ranks)
    if t.batch_size // parts >= needs.batch:
        return []
    where = "a batch" if parts == 1 else "in each micro-step on each device"
    split = "" if parts == 1 else f", which --accumulate {t.accumulate} and {ranks} device{'s' * (ranks > 1)} split"
    who = f"objective {config.parts['objective'].name!r}"
    return [f"{who} needs at least {needs.batch} samples {where}; --batch-size is {t.batch_size}{split}"]


def _known(config: RunConfig, kind: str) -> str:
    return ", ".join(row.name for row in registry().components(config.domain, kind)) or "none installed"


class _seeded:
    """Torch's generator set to ``seed`` inside, and as it was after."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def __enter__(self) -> None:
        self._state = torch.get_rng_state()
        torch.manual_seed(self.seed)

    def __exit__(self, *_: object) -> None:
        torch.set_rng_state(self._state)
