"""The rows of `quality.py`: recipes for few images, as overrides of one base recipe."""

from __future__ import annotations

from typing import get_args

from swincli.recipe.networks import MixerName

ADAPTIVE = ('augment.control="adaptive"', "augment.speed={tenth}")
DIFFAUGMENT = ('augment.transforms="diffaugment"',)
BCR = ("loss.bcr_real=10", "loss.bcr_fake=10")
R3GAN = ('loss.adversarial="relativistic"', "loss.joint_penalty=true", "loss.r2_gamma=0.5")
R3GAN_LAZY = ('loss.adversarial="relativistic"', "loss.r2_gamma=0.5")
AUGSELF = ("loss.augself_d=1", "loss.augself_g=0.2")
LECAM = ("loss.lecam=0.01", "loss.lecam_from={tenth}")
VISION = ("model.features_side=64", "loss.features=0.3")
FADING = ("loss.features_end=0.1", "loss.features_until={half}")
PROJECTED = (
    'model.discriminator="features"', "model.features_side=64", 'loss.adversarial="hinge"', "loss.r1_gamma=0",
    "augment.blur=2", "augment.blur_until={tenth}",
)  # fmt: skip
MIXERS = [name for name in get_args(MixerName) if name != "dw7"]
"""The mixers beside that of the base recipe."""

RECIPES: dict[str, tuple[str, ...]] = {
    "plain": (),
    "diffaugment": DIFFAUGMENT,
    "diffaugment-color": (*DIFFAUGMENT, 'augment.groups=["color"]'),
    "diffaugment-color-translation": (*DIFFAUGMENT, 'augment.groups=["color", "translation"]'),
    "ada-diffaugment": (*DIFFAUGMENT, *ADAPTIVE),
    "ada-bgc": ('augment.transforms="ada"', *ADAPTIVE),
    "apa": ("augment.apa=true", *ADAPTIVE),
    "lecam": LECAM,
    "hinge": ('loss.adversarial="hinge"',),
    "weak-r1": ("loss.r1_gamma=0.05",),
    "relativistic-r2": R3GAN,
    "relativistic-r2-lazy": R3GAN_LAZY,
    "augself": (*DIFFAUGMENT, *AUGSELF),
    "adaptive-mix": ("loss.adaptive_mix=1",),
    "mee-entropy": ("loss.mee_entropy=5e-4",),
    "bcr": BCR,
    "zcr": ("loss.zcr_d=0.2", "loss.zcr_g=0.02", "loss.zcr_sigma=0.1"),
    "vision-aided": VISION,
    "projected": PROJECTED,
    "vision-aided+ada-diffaugment": (*VISION, *DIFFAUGMENT, *ADAPTIVE),
    "vision-aided+ada-diffaugment+relativistic-r2-lazy": (*VISION, *DIFFAUGMENT, *ADAPTIVE, *R3GAN_LAZY),
    "vision-aided-fading+ada-diffaugment": (*VISION, *FADING, *DIFFAUGMENT, *ADAPTIVE),
    "vision-aided+ada-diffaugment-slow": (*VISION, *DIFFAUGMENT, *ADAPTIVE, "train.g_lr=1e-3", "train.d_lr=1e-3"),
    "projected+diffaugment": (*PROJECTED, *DIFFAUGMENT),
    "faithful": ("ffhq256.toml",),
    "modern": ("modern{size}.toml", "loss.features_until={half}", "augment.speed={tenth}"),
    **{f"mixer-{name}": (f'model.mixer="{name}"',) for name in MIXERS},
    "mixer-hybrid": ('model.mixer={default="double", 32="dw7", 64="dw7"}',),
    "ada-diffaugment+lecam": (*DIFFAUGMENT, *ADAPTIVE, *LECAM),
    "ada-diffaugment+apa": (*DIFFAUGMENT, *ADAPTIVE, "augment.apa=true"),
    "ada-diffaugment+hinge": (*DIFFAUGMENT, *ADAPTIVE, 'loss.adversarial="hinge"'),
    "ada-diffaugment+relativistic-r2": (*DIFFAUGMENT, *ADAPTIVE, *R3GAN),
    "ada-diffaugment+relativistic-r2-lazy": (*DIFFAUGMENT, *ADAPTIVE, *R3GAN_LAZY),
    "ada-diffaugment+mee-entropy": (*DIFFAUGMENT, *ADAPTIVE, "loss.mee_entropy=5e-4"),
    "relativistic-r2-lazy+mee-entropy": (*R3GAN_LAZY, "loss.mee_entropy=5e-4"),
    "bcr+mee-entropy": (*BCR, "loss.mee_entropy=5e-4"),
    "bcr+lecam": (*BCR, *LECAM),
    "bcr+relativistic-r2": (*BCR, *R3GAN),
}
"""Overrides of the base recipe, or of the recipe that comes first. {tenth} and {half} are of the run, in images."""
