"""The models an atlas is made on. Importing this registers ``circuitgpt`` with transformers."""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from atlas_assets.models.circuitgpt import CircuitGPTForCausalLM, CircuitGPTModel
from atlas_assets.models.circuitgpt_config import CircuitGPTConfig

AutoConfig.register(CircuitGPTConfig.model_type, CircuitGPTConfig, exist_ok=True)
AutoModel.register(CircuitGPTConfig, CircuitGPTModel, exist_ok=True)
AutoModelForCausalLM.register(CircuitGPTConfig, CircuitGPTForCausalLM, exist_ok=True)
