"""Fields without a row that ask the embedded engine for what is the case anyway: by the words of vLLM, SGLang, llama.cpp and
Ollama, whose clients send their defaults along.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: Of fields that say where or how quickly an answer is made, and nothing of what it says.
_ANY: Final = (
    *("cache_prompt", "cache_salt", "chat_id", "conversation_id", "id_slot", "keep_alive", "priority", "request_id"),
    *("return_tokens", "session_id", "slot_id", "timings_per_token", "ttl"),
)

#: By the name of a field the values that change nothing; None where none does.
NEUTRAL: Final[Mapping[str, tuple[Any, ...] | None]] = {
    **dict.fromkeys(_ANY),
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
    "allowed_token_ids": ([],),
    "bad_words": ([],),
    "ban_eos_token": (False,),
    "best_of": (1,),
    "cfg_scale": (1,),
    "continue_final_message": (False,),
    "custom_token_bans": ("",),
    "do_sample": (True,),
    "dry_multiplier": (0,),
    "dynatemp_range": (0,),
    "early_stopping": (False,),
    "echo": (False,),
    "grammar": ("",),
    "grammar_string": ("",),
    "guidance_scale": (1,),
    "ignore_eos": (False,),
    "include_stop_str_in_output": (False,),
    "length_penalty": (1,),
    "lora": ([],),
    "min_tokens": (0,),
    "mirostat": (0,),
    "mirostat_mode": (0,),
    "n_predict": (-1,),
    "n_probs": (0,),
    "negative_prompt": ("",),
    "no_stop_trim": (False,),
    "post_sampling_probs": (False,),
    "provider": ({},),
    "raw": (False,),
    "rep_pen": (1,),
    "return_progress": (False,),
    "return_token_ids": (False,),
    "return_tokens_as_token_ids": (False,),
    "samplers": ([],),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "speculative": ({},),
    "stop_token_ids": ([],),
    "suffix": ("",),
    "t_max_predict_ms": (0, -1),
    "tfs": (1,),
    "tfs_z": (1,),
    "top_a": (0,),
    "top_n_sigma": (-1,),
    "transforms": ([],),
    "trim_stop": (True,),
    "use_beam_search": (False,),
    "xtc_probability": (0,),
}
