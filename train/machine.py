"""What a run computes on: its name for the record, and the precision that suits it."""

from __future__ import annotations

import platform

import torch

from stackgan.runtime import has_native_bf16


def choose_precision(device: torch.device) -> str:
    """bf16 where the hardware multiplies it natively, else fp32."""
    return "bf16" if has_native_bf16(device) else "fp32"


def hardware(device: torch.device) -> str:
    """A few words on what the run ran on."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"CPU, {torch.get_num_threads()} threads, {platform.machine()}"
