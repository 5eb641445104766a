"""The same jets as images, for a convolutional network."""

import numpy as np
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from skhep_ml.datasets import load_jets
from skhep_ml.metrics import roc_auc_score
from skhep_ml.neural_network import NetClassifier
from skhep_ml.neural_network.modules import CNN
from skhep_ml.preprocessing import CloudToImage

jets = load_jets(max_particles=60)
some = np.arange(0, len(jets.target), 6)
momenta = jets.data[some][:, :, :3]
train, test = train_test_split(np.arange(len(some)), test_size=0.3, random_state=0)
images = CloudToImage(
    16, features=["pt", "eta", "phi"], extent=0.4, rotate=True, flip=True, normalize=True
)
net = NetClassifier(
    CNN,
    module__channels=(16, 32),
    module__hidden=(32,),
    max_epochs=5,
    batch_size=64,
    lr=2e-3,
    device="cpu",
    random_state=0,
)
model = make_pipeline(images, net).fit(momenta[train], jets.target[some][train])
score = model.predict_proba(momenta[test])[:, 1]
print(f"AUC {roc_auc_score(jets.target[some][test], score):.3f}")
