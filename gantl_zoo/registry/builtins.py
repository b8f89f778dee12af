"""The built-in names. A new family or strategy adds a line to a table here."""

from __future__ import annotations

from gantl_zoo.registry.imports import OWN, declared_range
from gantl_zoo.registry.plugins import Entry
from gantl_zoo.registry.registry import Registry, Releases

generators = Registry(
    "generators",
    {
        "dcgan": "gantl_zoo.networks.dcgan:generator",
        "dcgan-examples": "gantl_zoo.networks.dcgan_examples:generator",
        "fast": "gantl_zoo.networks.fast:generator",
        "r3": "gantl_zoo.networks.r3:generator",
        "grown": "gantl_zoo.networks.grown:generator",
        "resnet": "gantl_zoo.networks.resnet:generator",
        "stylegan2": "gantl_zoo.networks.stylegan2:generator",
    },
)


discriminators = Registry(
    "discriminators",
    {
        "dcgan": "gantl_zoo.networks.dcgan:discriminator",
        "dcgan-examples": "gantl_zoo.networks.dcgan_examples:discriminator",
        "fast": "gantl_zoo.networks.fast_discriminator:discriminator",
        "r3": "gantl_zoo.networks.r3:discriminator",
        "grown": "gantl_zoo.networks.grown:discriminator",
        "packed": "gantl_zoo.networks.packed:discriminator",
        "resnet": "gantl_zoo.networks.resnet:discriminator",
        "san": "gantl_zoo.networks.san:discriminator",
        "stylegan2": "gantl_zoo.networks.stylegan2_discriminator:discriminator",
        "backbone": "gantl_zoo.networks.feature_discriminator:discriminator",
        "projected": "gantl_zoo.networks.projected:discriminator",
    },
)


backbones = Registry(
    "backbones",
    {
        "cnn": "gantl_zoo.networks.backbones.cnn:backbone",
        "discriminator": "gantl_zoo.networks.backbones.discriminator_features:backbone",
    },
    prefixes={"timm": "gantl_zoo.networks.backbones.timm:backbone"},
)


strategies = Registry(
    "strategies",
    {
        "ewc": "gantl_zoo.strategy.regularized:EWC",
        "freeze": "gantl_zoo.strategy.freeze:Freeze",
        "freeze-d": "gantl_zoo.strategy.freeze_d:FreezeD",
        "freeze-g": "gantl_zoo.strategy.freeze_d:FreezeG",
        "full": "gantl_zoo.strategy.base:TransferStrategy",
        "gradual": "gantl_zoo.strategy.gradual:Gradual",
        "l2-sp": "gantl_zoo.strategy.regularized:L2SP",
        "mirror": "gantl_zoo.strategy.mirror:Mirror",
        "partial": "gantl_zoo.strategy.partial:Partial",
        "projected": "gantl_zoo.strategy.projected:Projected",
        "scale-shift": "gantl_zoo.strategy.scale_shift:ScaleShift",
        "vision-aided": "gantl_zoo.strategy.projected:VisionAided",
    },
)


losses = Registry(
    "losses",
    {
        "hinge": "gantl_zoo.training.losses:Hinge",
        "least-squares": "gantl_zoo.training.losses:LeastSquares",
        "minimax": "gantl_zoo.training.losses:Minimax",
        "non-saturating": "gantl_zoo.training.losses:NonSaturating",
        "relativistic": "gantl_zoo.training.losses:Relativistic",
        "wasserstein": "gantl_zoo.training.losses:Wasserstein",
    },
)


augmentations = Registry(
    "augmentations",
    {
        "ada": "gantl_zoo.training.augment.ada:AdaptiveAugment",
        "diffaugment": "gantl_zoo.training.augment.diffaugment:DiffAugment",
        "none": "gantl_zoo.training.augment.base:Augment",
    },
)


regularizers = Registry(
    "regularizers",
    {
        "apa": "gantl_zoo.training.regularizers.apa:APA",
        "consistency": "gantl_zoo.training.regularizers.consistency:Consistency",
        "gradient-penalty": "gantl_zoo.training.regularizers.gradient:Interpolated",
        "latent-consistency": "gantl_zoo.training.regularizers.consistency:LatentConsistency",
        "lecam": "gantl_zoo.training.regularizers.lecam:LeCam",
        "none": "gantl_zoo.training.regularizers.base:Regularizer",
        "path-length": "gantl_zoo.training.regularizers.latent_space:PathLength",
        "r1": "gantl_zoo.training.regularizers.gradient:R1",
        "r2": "gantl_zoo.training.regularizers.gradient:R2",
        "stage-consistency": "gantl_zoo.training.regularizers.stages:StageConsistency",
        "style-mixing": "gantl_zoo.training.regularizers.latent_space:StyleMixing",
        "top-k": "gantl_zoo.training.regularizers.top_k:TopK",
    },
)


models = Releases(
    "models",
    {
        "cnn-fashion-mnist": "gantl_zoo.released:cnn_fashion_mnist",
        "cnn-mnist": "gantl_zoo.released:cnn_mnist",
        "dcgan-cats": "gantl_zoo.released:dcgan_cats",
        "dcgan-emoji": "gantl_zoo.released:dcgan_emoji",
        "dcgan-faces": "gantl_zoo.released:dcgan_faces",
        "dcgan-fashion-mnist": "gantl_zoo.released:dcgan_fashion_mnist",
        "dcgan-mnist": "gantl_zoo.released:dcgan_mnist",
        "dcgan-mnist-conditional": "gantl_zoo.released:dcgan_mnist_conditional",
        "dcgan-peeps": "gantl_zoo.released:dcgan_peeps",
        "dcgan-portraits": "gantl_zoo.released:dcgan_portraits",
        "timm-mobilenetv3-cifar10": "gantl_zoo.released:timm_mobilenetv3_cifar10",
    },
)


presets = Registry(
    "presets",
    {
        "article": "gantl_zoo.training.presets:article",
        "dcgan-faces": "gantl_zoo.training.preset_releases:dcgan_faces",
        "dcgan-fashion-mnist": "gantl_zoo.training.preset_releases:dcgan_fashion_mnist",
        "dcgan-mnist": "gantl_zoo.training.preset_releases:dcgan_mnist",
        "dcgan-mnist-conditional": "gantl_zoo.training.preset_releases:dcgan_mnist_conditional",
        "fast": "gantl_zoo.training.presets:fast",
        "fastgan": "gantl_zoo.training.presets:fastgan",
        "few-shot": "gantl_zoo.training.presets:few_shot",
        "quality": "gantl_zoo.training.presets:quality",
        "r3": "gantl_zoo.training.preset_r3:r3",
        "scratch-64": "gantl_zoo.training.presets:scratch_64",
        "stacked-mnist": "gantl_zoo.training.presets:stacked_mnist",
        "stylegan2": "gantl_zoo.training.preset_stylegan2:stylegan2",
        "transfer": "gantl_zoo.training.presets:transfer",
        "transfer-64": "gantl_zoo.training.presets:transfer_64",
    },
)

datasets = Registry(
    "datasets",
    {
        "cifar10": "gantl_zoo.data.builtin:cifar10",
        "digits": "gantl_zoo.data.builtin:digits",
        "fashion-mnist": "gantl_zoo.data.builtin:fashion_mnist",
        "glyphs": "gantl_zoo.data.glyphs:glyphs",
        "kmnist": "gantl_zoo.data.builtin:kmnist",
        "mnist": "gantl_zoo.data.builtin:mnist",
        "portraits": "gantl_zoo.data.builtin:portraits",
        "stacked-mnist": "gantl_zoo.data.builtin:stacked_mnist",
    },
)


metrics = Registry(
    "metrics",
    {
        "classes": "gantl_zoo.metrics.class_metrics:Classes",
        "cpr": "gantl_zoo.metrics.set_metrics:Supports",
        "diversity": "gantl_zoo.metrics.train_metrics:Diversity",
        "fd": "gantl_zoo.metrics.set_metrics:Frechet",
        "intra_pd": "gantl_zoo.metrics.perceptual:ClusterVariety",
        "is": "gantl_zoo.metrics.class_metrics:InceptionScore",
        "kd": "gantl_zoo.metrics.set_metrics:Kernel",
        "memory": "gantl_zoo.metrics.train_metrics:Copies",
        "mifid": "gantl_zoo.metrics.train_metrics:Informed",
        "modes": "gantl_zoo.metrics.class_metrics:Modes",
        "pd": "gantl_zoo.metrics.perceptual:Variety",
        "pr": "gantl_zoo.metrics.set_metrics:Manifolds",
    },
)

weights = Registry("weights", {})  # files of pretrained weights for timm's models; packages bring them

# The layouts of other projects' files of weights
formats = Registry(
    "formats",
    {
        "dcgan-examples": "gantl_zoo.convert.dcgan_examples:DCGANExamples",
        "r3gan": "gantl_zoo.convert.r3gan:R3GAN",
        "rosinality": "gantl_zoo.convert.rosinality:Rosinality",
        "state-dict": "gantl_zoo.convert.state_dict:StateDict",
        "stylegan2-ada": "gantl_zoo.convert.stylegan2_ada:StyleGAN2ADA",
    },
)

# Builder arguments that name an inner network, which may be a plug-in's, and where that name is registered.
# A released model is an inner network with its weights, and has no arguments.
# The inner network's own arguments are in `<argument>_config`, or the builder takes and forwards them.
NETWORKS = {
    "backbone": (backbones, models),
    "generator": (generators,),
    "discriminator": (discriminators,),
    "network": (discriminators, generators, backbones),
}
for _registry in (generators, discriminators, backbones):
    _registry.nested = NETWORKS

NETWORK_KINDS = (models, generators, discriminators, backbones)
TRAINING_KINDS = (strategies, losses, augmentations, regularizers, presets)
REGISTRIES: dict[str, Registry] = {
    r.kind: r for r in (*NETWORK_KINDS, *TRAINING_KINDS, datasets, metrics, weights, formats)
}


def requirements(*entries: Entry) -> dict[str, str]:
    """`{"plug-in": "version"}` of the entries that are not built in, for a model folder's `requires`.

    A plug-in may state a range of versions that load its models: `GANTL_ZOO_COMPATIBLE = ">=0.3,<1"` in its
    top-level package, which is imported already.
    """
    return {e.owner: declared_range(e.reference) or e.version for e in entries if e.owner not in OWN}
