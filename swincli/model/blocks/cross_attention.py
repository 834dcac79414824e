"""Cross-attention from features to style tokens made of w (StyleSwin, section 3.1, "Cross-attention")."""

from __future__ import annotations

from torch import Tensor, nn

from swincli.model.blocks.layers import EqualLinear

STYLE_TOKENS = 4  # then w has as many weights here as in the two AdaINs of a block


class CrossAttention(nn.Module):
    """Layer norm, then cross-attention from every position to a few tokens; each token is an equalised layer of w.

    One w needs several tokens: with a single one, every query would get the same result.

    Args:
        channels: Channels of x and of a token.
        heads: Number of heads.
        latent_dim: Length of w.
    """

    def __init__(self, channels: int, heads: int, latent_dim: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(channels)
        self.tokens = EqualLinear(latent_dim, STYLE_TOKENS * channels)
        self.q = nn.Linear(channels, channels)
        self.kv = nn.Linear(channels, 2 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """`[B, H, W, C], [B, latent_dim] -> [B, H, W, C]`, to be added to x."""
        batch, height, width, channels = x.shape
        dim = channels // self.heads
        q = self.q(self.norm(x)).view(batch, height * width, self.heads, dim).transpose(1, 2)
        tokens = self.tokens(w).view(batch, STYLE_TOKENS, channels)
        k, v = self.kv(tokens).view(batch, STYLE_TOKENS, 2, self.heads, dim).permute(2, 0, 3, 1, 4)
        weights = (q * dim**-0.5 @ k.transpose(-1, -2)).softmax(dim=-1)
        out: Tensor = self.proj((weights @ v).transpose(1, 2).reshape(batch, height, width, channels))
        return out
