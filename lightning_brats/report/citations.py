"""What to cite: networks by what builds them, data by cohort."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

CARDS = "Mitchell et al., Model Cards for Model Reporting, FAT* 2019"
NNUNET = (
    "Isensee et al., nnU-Net: a self-configuring method for deep learning-based biomedical image "
    "segmentation, Nat Methods 2021"
)
ATTENTION = "Oktay et al., Attention U-Net: Learning Where to Look for the Pancreas, MIDL 2018"
RESIDUAL = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016"
NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lightning_brats.models.UNet": (
        "Ronneberger et al., U-Net: Convolutional Networks for Biomedical Image Segmentation, "
        "MICCAI 2015",
        "Çiçek et al., 3D U-Net: Learning Dense Volumetric Segmentation from Sparse Annotation, "
        "MICCAI 2016",
        NNUNET,
    ),
    "lightning_brats.models.FCNN": (
        "Long et al., Fully Convolutional Networks for Semantic Segmentation, CVPR 2015",
    ),
    "lightning_brats.models.SegGAN": (
        "Luc et al., Semantic Segmentation using Adversarial Networks, 2016",
        "Isola et al., Image-to-Image Translation with Conditional Adversarial Networks, CVPR 2017",
    ),
    "lightning_brats.models.nnunet.plain_conv_unet": (NNUNET,),
    "lightning_brats.models.nnunet.residual_encoder_unet": (
        "Isensee et al., nnU-Net Revisited, MICCAI 2024",
    ),
    "monai.networks.nets.SegResNet": (
        "Myronenko, 3D MRI brain tumor segmentation using autoencoder regularization, 2018",
    ),
    "monai.networks.nets.SwinUNETR": (
        "Hatamizadeh et al., Swin UNETR: Swin Transformers for Semantic Segmentation of Brain "
        "Tumors in MRI Images, 2022",
    ),
    "monai.networks.nets.DynUNet": (NNUNET,),
    "monai.networks.nets.MedNeXt": (
        "Roy et al., MedNeXt: Transformer-driven Scaling of ConvNets for Medical Image "
        "Segmentation, MICCAI 2023",
    ),
    "monai.networks.nets.VNet": (
        "Milletari et al., V-Net: Fully Convolutional Neural Networks for Volumetric Medical Image "
        "Segmentation, 3DV 2016",
    ),
    "monai.networks.nets.AttentionUnet": (ATTENTION,),
    "monai.networks.nets.UNet": (
        "Kerfoot et al., Left-Ventricle Quantification Using Residual U-Net, STACOM 2018",
    ),
}
"""`_target_` → papers."""

MENZE = (
    "Menze et al., The Multimodal Brain Tumor Image Segmentation Benchmark (BRATS), IEEE TMI 2015"
)
BAKAS = (
    "Bakas et al., Advancing The Cancer Genome Atlas glioma MRI collections with expert "
    "segmentation labels and radiomic features, Sci Data 2017"
)
RATERS = (
    "Bakas et al., Identifying the Best Machine Learning Algorithms for Brain Tumor Segmentation, "
    "Progression Assessment, and Overall Survival Prediction in the BRATS Challenge, 2018"
)
BAID = (
    "Baid et al., The RSNA-ASNR-MICCAI BraTS 2021 Benchmark on Brain Tumor Segmentation and "
    "Radiogenomic Classification, 2021"
)
DATA: Mapping[str, tuple[str, ...]] = {
    "BraTS2018": (MENZE, BAKAS, RATERS),
    "BraTS2019": (MENZE, BAKAS, RATERS),
    "BraTS2020": (MENZE, BAKAS, RATERS),
    "BraTS2021": (BAID, MENZE, BAKAS),
    "BraTS2023-GLI": (BAID, MENZE, BAKAS),
    "BraTS2023-SSA": ("Adewole et al., The Brain Tumor Segmentation Challenge 2023: Africa, 2023",),
    "BraTS2023-MEN": (
        "LaBella et al., The ASNR-MICCAI Brain Tumor Segmentation Challenge 2023: Intracranial "
        "Meningioma, 2023",
    ),
    "BraTS2023-PED": (
        "Kazerooni et al., The Brain Tumor Segmentation Challenge 2023: Focus on Pediatrics, 2023",
    ),
    "BraTS2023-MET": (
        "Moawad et al., The Brain Tumor Segmentation Challenge 2023: Brain Metastasis on "
        "Pre-treatment MRI, 2023",
    ),
    "BraTS2024": (
        "de Verdier et al., The 2024 Brain Tumor Segmentation Challenge: Glioma Segmentation on "
        "Post-treatment MRI, 2024",
    ),
    "MSD": ("Antonelli et al., The Medical Segmentation Decathlon, Nat Commun 2022",),
}
"""Cohort, or how its name begins → papers."""


def of_network(config: Mapping[str, Any]) -> list[str]:
    """Papers of a network, from its configuration; none where it is not known."""
    found = list(NETWORKS.get(str(config.get("_target_")), ()))
    found += [RESIDUAL] if config.get("block") == "residual" else []
    found += [ATTENTION] if config.get("skip") == "attention" else []
    return found + (of_network(config["generator"]) if "generator" in config else [])


def of_data(cohorts: Iterable[str]) -> list[str]:
    """Papers of cohorts, each once."""
    return list(
        dict.fromkeys(
            paper
            for cohort in sorted(cohorts)
            for known, papers in DATA.items()
            if cohort == known or cohort.startswith(f"{known}-")
            for paper in papers
        )
    )
