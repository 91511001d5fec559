"""What the autoencoder does not draw of an image is seen near its code."""

from dataclasses import replace

import torch
from support.worlds import Identity, hard, image, soft

from abele_py import Abele


def test_with_detail_the_neighbors_begin_with_the_image_and_its_label():
    """Of a copy that loses the label, no neighbor near the code has it; of the image itself those have."""

    def near(detail):
        autoencoder = Identity()
        autoencoder.decode = lambda z: (z.clamp(0, 1) * 0.9).reshape(-1, 1, 1, 2)
        autoencoder.reference_latents = torch.tensor([[0.32, 0.7], [0.1, 0.1], [0.6, 0.1], [0.9, 0.9], [0.2, 0.9]])
        e = Abele(hard, autoencoder, n_samples=400, detail=detail).explain(image(0.321, 0.5))
        n = e.neighborhood
        distance = (n.latents - e.latent).norm(dim=1)
        assert (e.reconstruction_label, e.params["detail"]) == (0, detail)
        assert not e.trust.label_preserved, "the autoencoder is judged without what is added"
        return n.labels[(distance < 0.05) & (n.latents[:, 0] >= 0.321) & (n.latents[:, 0] < 0.333)][1:]

    assert len(near(1.0)) > 1
    assert bool((near(1.0) == 1).all())
    assert bool((near(0.0) == 0).all())


def test_an_explanation_knows_how_it_saw_the_space():
    autoencoder = Identity()
    autoencoder.decode = lambda z: (z.clamp(0, 1) * 0.9).reshape(-1, 1, 1, 2)
    explainer = Abele(soft, autoencoder, n_samples=200)
    e = explainer.explain(image(0.6, 0.5))
    torch.testing.assert_close(e.seen_in(explainer._space).decode(e.latent[None])[0], e.image)
    old = replace(e, params={name: value for name, value in e.params.items() if name != "detail"})
    assert old.seen_in(explainer._space) is explainer._space, "of a time without it"
    assert Abele(soft, autoencoder, n_samples=200, preset="paper").options.detail == 0
