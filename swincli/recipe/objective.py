"""What training optimises: the [loss] and [augment] sections of a recipe."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from swincli.recipe.section import ImageCount, NonEmptyText, PositiveImageCount, Section, inconsistent

Weight = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]

GROUPS: dict[str, tuple[str, ...]] = {
    "diffaugment": ("color", "translation", "cutout"),
    "ada": ("blit", "geometry", "color", "filter", "noise", "cutout"),
}
"""Groups of transforms of each set of `augment.transforms`."""
TRANSFORMS: dict[str, tuple[str, ...]] = {
    "blit": ("x_flip", "rotate90", "integer_shift"),
    "geometry": ("scale", "rotation", "stretch", "fractional_shift"),
    "color": ("brightness", "contrast", "luma_flip", "hue", "saturation"),
}
"""Transforms of ADA's groups that have several. "rotation" is that before the stretch and that after it."""
LEAST_BLUR = 1 / 3
"""Smallest standard deviation in pixels of a blur that changes anything: with less, its kernel has one number."""
DEFAULT_GROUPS = {"diffaugment": GROUPS["diffaugment"], "ada": ("blit", "geometry", "color")}


class LossSection(Section):
    """The adversarial loss and its regularisers. A weight of 0 switches a regulariser off."""

    adversarial: Literal["logistic", "hinge", "least-squares", "wasserstein", "relativistic"] = "logistic"
    """Adversarial loss; "relativistic" compares each fake with a real (R3GAN)."""
    r1_gamma: Weight = 10.0
    """Weight of R1, the penalty on D's gradient at real images; 0 for none."""
    r1_interval: Annotated[int, Field(ge=1)] = 16
    """Steps from one R1 phase to the next (lazy regularisation); also for R2."""
    r1_gamma_end: Weight | None = None
    """R1's weight after `gamma_until` images, reached on a half-cosine. Left out: constant weight."""
    r2_gamma: Weight = 0.0
    """Weight of R2, the penalty on D's gradient at generated images; 0 for none."""
    r2_gamma_end: Weight | None = None
    """R2's weight after `gamma_until` images, reached on a half-cosine. Left out: constant weight."""
    gamma_until: PositiveImageCount | None = None
    """Images over which r1_gamma and r2_gamma change to their ends."""
    joint_penalty: bool = False
    """Add R1 and R2 to D's loss in every step, in the same backward, as R3GAN does. False: in phases of their own."""
    bcr_real: Weight = 0.0
    """Weight of balanced consistency regularisation (bCR) on real images; the release uses 10."""
    bcr_fake: Weight = 0.0
    """Weight of bCR on generated images; the release uses 10."""
    tv: Weight = 0.0
    """Initial weight of the total variation of generated images."""
    tv_until: PositiveImageCount | None = None
    """Images over which the weight `tv` decays linearly to 0. Left out: constant weight."""
    lecam: Weight = 0.0
    """Weight of LeCam, which ties logits to moving averages of the other side's; 3e-7 (logistic) to 0.3 (hinge)."""
    lecam_decay: Annotated[float, Field(ge=0, lt=1)] = 0.99
    """Decay of LeCam's moving averages per step."""
    lecam_from: ImageCount = 32_000
    """Images after which LeCam starts (1,000 steps of 32); its averages follow from the beginning."""
    zcr_d: Weight = 0.0
    """Weight of latent consistency (zCR) in D: logits of close latents are alike. BigGAN 20, StyleGAN2 0.2."""
    zcr_g: Weight = 0.0
    """Weight of zCR in G: images of close latents differ. BigGAN 0.5, StyleGAN2 0.02."""
    zcr_sigma: Annotated[float, Field(gt=0)] = 0.05
    """Standard deviation of zCR's noise on latents. BigGAN 0.05, StyleGAN2 0.1."""
    path_length: Weight = 0.0
    """Weight of path length regularisation of G; StyleGAN2 uses 2."""
    path_length_interval: Annotated[int, Field(ge=1)] = 4
    """Steps from one path length phase to the next."""
    top_k: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Factor by which the share of fakes that G learns from shrinks every `top_k_every` images; 1 for all fakes."""
    top_k_every: PositiveImageCount = 50_000
    """Images after which the share of `top_k` shrinks once more."""
    top_k_min: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Smallest share of fakes that G learns from with `top_k`."""
    augself_d: Weight = 0.0
    """Weight of AugSelf-GAN in D: D predicts the augmentation of each image; 1 in the paper."""
    augself_g: Weight = 0.0
    """Weight of AugSelf-GAN in G; 0.2, or 0.1 to 1 for few images."""
    augself_groups: list[Literal["color", "translation", "cutout"]] = ["color"]
    """Groups of transforms whose parameters AugSelf-GAN predicts."""
    adaptive_mix: Weight = 0.0
    """Weight of AdaptiveMix: D's features of a blend of two images are the blend of their features; 1 in the paper."""
    adaptive_mix_noise: Weight = 0.05
    """Standard deviation of AdaptiveMix's noise on blended features."""
    mee_dlle: Weight = 0.0
    """Weight of MEE's local structure (DLLE): D's features of an image and of a slightly changed one are alike."""
    mee_disomap: Weight = 0.0
    """Weight of MEE's global structure (DIsoMap): D's features of a blend of real and fake are the blend of theirs."""
    mee_entropy: Weight = 0.0
    """Weight of MEE's entropy: features keep their distance from the nearest of earlier ones; 5e-4 in the paper."""
    mee_until: PositiveImageCount | None = None
    """Images over which the weight `mee_entropy` rises linearly from 0; 100 epochs in the paper. Left out: at once."""
    mee_buffer: Annotated[int, Field(ge=2)] = 1_024
    """Number of earlier features that MEE's entropy compares with."""

    features: Weight = 0.0
    """Weight of a second D on frozen features (vision-aided GAN): hinge loss of `model.features`; 1 in the paper."""
    features_from: ImageCount = 0
    """Images after which the second D starts; the paper waits until fakes are decent."""
    features_end: Weight | None = None
    """Weight of the second D after `features_until` images, reached on a half-cosine. Left out: constant weight."""
    features_until: PositiveImageCount | None = None
    """Images over which `features` changes to `features_end`. At 0 the second D is left out, and steps are faster."""

    matching: Weight = 0.0
    """Weight of matching: an image with another image's text is wrong too, for D and for G (GAN-CLS, GigaGAN); 0.5.
    Without texts, one of its attributes is another image's. Needs `model.attributes`."""

    elastic: Weight = 0.0
    """Weight of elastic weight consolidation (EWC): G's weights stay near those of `train.init` by their Fisher
    information. Large, as that is small; the start of a run prints it."""
    repel: Weight = 0.0
    """Weight of the repulsion of G's weights from those of other models (Adapt-then-Unlearn)."""
    repel_models: list[NonEmptyText] = []
    """Models that G is repelled from, of the same networks: runs or model files. Distances are averaged over them."""
    repel_form: Literal["exponential", "inverse", "square"] = "exponential"
    """Repulsion by the squared distance d2: exp(-alpha d2), 1 / d2, or -d2, which has no lower bound."""
    repel_alpha: Annotated[float, Field(gt=0)] | None = None
    """alpha of the exponential repulsion. Left out: 1 / d2 at the start, so the repulsion begins at exp(-1)."""

    @model_validator(mode="after")
    def _schedules_are_complete(self) -> Self:
        if self.gamma_until is None and (self.r1_gamma_end is not None or self.r2_gamma_end is not None):
            key = "r1_gamma_end" if self.r1_gamma_end is not None else "r2_gamma_end"
            raise inconsistent(key, "needs loss.gamma_until, the images until it is reached")
        if (self.features_end is None) != (self.features_until is None):
            key, other = ("features_end", "features_until")[:: 1 if self.features_until is None else -1]
            raise inconsistent(key, f"needs loss.{other}")
        if self.features_end and not self.features:
            raise inconsistent("features_end", "needs loss.features, the weight at the start, above 0")
        if len(set(self.augself_groups)) < len(self.augself_groups):
            raise inconsistent("augself_groups", "names a group twice")
        return self

    @model_validator(mode="after")
    def _repulsion_is_complete(self) -> Self:
        if self.repel and not self.repel_models:
            raise inconsistent("repel", "needs loss.repel_models, the models that G is repelled from")
        if len(set(self.repel_models)) < len(self.repel_models):
            raise inconsistent("repel_models", "names a model twice")
        if self.repel_alpha is not None and self.repel_form != "exponential":
            raise inconsistent("repel_alpha", 'belongs to loss.repel_form = "exponential"')
        return self

    @property
    def has_r1(self) -> bool:
        """Whether R1 has a weight at any time."""
        return bool(self.r1_gamma or self.r1_gamma_end)

    @property
    def has_r2(self) -> bool:
        """Whether R2 has a weight at any time."""
        return bool(self.r2_gamma or self.r2_gamma_end)

    @property
    def has_boundary(self) -> bool:
        """Whether a logit between reals and fakes exists: not with "wasserstein", where a constant changes nothing."""
        return self.adversarial != "wasserstein"

    @property
    def has_penalty_phase(self) -> bool:
        """Whether R1 or R2 run in phases of their own, so that D's optimiser takes extra steps."""
        return (self.has_r1 or self.has_r2) and not self.joint_penalty


class AugmentSection(Section):
    """Augmentation of the training images, and of all images that D sees."""

    flip: bool = False
    """Random horizontal flips of the training images, with probability 0.5."""
    transforms: Literal["none", "diffaugment", "ada"] = "none"
    """Random transforms of everything that D sees, differentiable: DiffAugment's, or those of StyleGAN2-ADA."""
    groups: list[str] | None = None
    """DiffAugment: color, translation, cutout (default: all). ADA: blit, geometry, color; and filter, noise, cutout."""
    control: Literal["fixed", "scheduled", "adaptive"] = "fixed"
    """Probability of each transform: constant, on a half-cosine from `p` to `p_end`, or by D's overfitting (ADA)."""
    p: Probability | None = None
    """Probability of each transform, at the start if it changes. Left out: 1 if it is fixed, else 0."""
    p_end: Probability | None = None
    """Probability after `p_until` images (control = "scheduled")."""
    p_until: PositiveImageCount | None = None
    """Images until `p_end` is reached (control = "scheduled")."""
    p_max: Probability = 0.8
    """Upper bound of an adaptive probability; at 1, transforms leak into the images."""
    target: Probability = 0.6
    """Target of the mean sign of D's logits at reals (control = "adaptive"); lower it for less overfitting."""
    speed: PositiveImageCount = 500_000
    """Images in which an adaptive probability can rise from 0 to 1; about a tenth of the run."""
    multipliers: dict[str, Probability] | None = None
    """Factors of the probability, from 0 to 1, of groups or of single transforms of ADA: { hue = 0, color = 0.5 }. A
    transform's own factor takes the place of its group's."""
    apa: bool = False
    """Adaptive pseudo augmentation: with the same probability, D is shown a generated image as a real one."""
    color: Weight = 1.0
    """Strength of DiffAugment's brightness, saturation and contrast."""
    translation: Annotated[float, Field(gt=0, le=0.5)] = 0.125
    """DiffAugment's largest shift as a share of the side."""
    cutout: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Side of DiffAugment's hole as a share of the image's."""
    text_noise: Weight = 0.15
    """Length of the noise on text vectors of length 1, for G and for D: few texts are spread over what lies between."""
    text_drop: Annotated[float, Field(ge=0, lt=1)] = 0.1
    """Share of images without their text, so that G can draw without one and `--guidance` has a start."""
    blur: Weight = 0.0
    """Standard deviation in pixels of a Gaussian blur of all that D sees; it fades linearly (StyleGAN-XL: 2)."""
    blur_until: PositiveImageCount | None = None
    """Images until the blur is gone."""

    @model_validator(mode="after")
    def _groups_exist(self) -> Self:
        if self.groups is None:
            return self
        known = GROUPS.get(self.transforms, ())
        if not known:
            raise inconsistent("groups", 'needs augment.transforms = "diffaugment" or "ada"')
        unknown = [name for name in self.groups if name not in known]
        if unknown or not self.groups or len(set(self.groups)) < len(self.groups):
            raise inconsistent("groups", f"must name some of {', '.join(known)}, each once")
        return self

    @model_validator(mode="after")
    def _multiplied_exist(self) -> Self:
        if self.multipliers is None:
            return self
        groups = GROUPS.get(self.transforms, ())
        if not groups:
            raise inconsistent("multipliers", 'needs augment.transforms = "diffaugment" or "ada"')
        known = list(dict.fromkeys([*groups, *(name for group in groups for name in self._names(group))]))
        unknown = [name for name in self.multipliers if name not in known]
        if unknown:
            raise inconsistent("multipliers", f'"{unknown[0]}" is no transform; known are {", ".join(known)}')
        return self

    @model_validator(mode="after")
    def _blur_ends(self) -> Self:
        if bool(self.blur) != (self.blur_until is not None):
            key = "blur" if self.blur else "blur_until"
            raise inconsistent(key, "needs augment.blur and augment.blur_until")
        return self

    @model_validator(mode="after")
    def _control_is_complete(self) -> Self:
        scheduled = self.control == "scheduled"
        if scheduled and (self.p_end is None or self.p_until is None):
            raise inconsistent("control", '"scheduled" needs augment.p_end and augment.p_until')
        if not scheduled and (self.p_end is not None or self.p_until is not None):
            raise inconsistent("p_end" if self.p_end is not None else "p_until", 'needs augment.control = "scheduled"')
        if self.control != "fixed" and not self.is_on:
            raise inconsistent("control", "needs augment.transforms or augment.apa")
        if self.control == "adaptive" and self.start > self.p_max:
            raise inconsistent("p", f"must be at most augment.p_max, {self.p_max}")
        largest = {"p": self.start, "p_end": self.p_end, "p_max": self.p_max if self.control == "adaptive" else None}
        key = next((name for name, value in largest.items() if value == 1), None)
        if self.apa and key is not None:
            raise inconsistent(key, "at 1, augment.apa shows D no real image; set it lower, 0.8 for example")
        return self

    @property
    def is_on(self) -> bool:
        """Whether D sees anything but the plain images."""
        return self.transforms != "none" or self.apa

    @property
    def start(self) -> float:
        """The probability at the start."""
        if self.p is not None:
            return self.p
        return 1.0 if self.control == "fixed" else 0.0

    def factor(self, group: str, name: str | None = None) -> float:
        """Factor of the probability of one of a group's transforms; without a name, of a group that is one."""
        given = self.multipliers or {}
        return given.get(name or group, given.get(group, 1.0))

    def factors(self, group: str) -> dict[str, float]:
        """`factor` of each transform of a group."""
        return {name: self.factor(group, name) for name in self._names(group)}

    def _names(self, group: str) -> tuple[str, ...]:
        return TRANSFORMS.get(group, (group,)) if self.transforms == "ada" else (group,)

    def shift_pixels(self, size: int) -> int:
        """DiffAugment's largest shift in pixels, of images of a side."""
        return int(size * self.translation + 0.5)

    def hole_pixels(self, size: int) -> int:
        """The side of DiffAugment's hole in pixels, of images of a side."""
        return int(size * self.cutout + 0.5)

    @property
    def chosen(self) -> tuple[str, ...]:
        """The groups in use, in the order in which they are applied."""
        if self.transforms == "none":
            return ()
        chosen = DEFAULT_GROUPS[self.transforms] if self.groups is None else self.groups
        return tuple(name for name in GROUPS[self.transforms] if name in chosen)
