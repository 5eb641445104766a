"""The example that ``skhep-ml init`` writes."""

TEMPLATE = """\
# An analysis for: skhep-ml train {name}
# File names are relative to this file. What begins with "#" may be left out; the values shown are
# the defaults or examples.

[input]
tree = "Events"                          # of ROOT files
event_number = ["run", "luminosityBlock", "event"]   # splits training from test
# weight = ["genWeight"]                 # branches or formulas, multiplied
# selection = "nMuon >= 1"
# max_events = 100000                    # of each process
# luminosity = 36300.0                   # with cross_section of the processes, in inverse units

[features]                               # NAME = FORMULA of branches
met = "MET_pt"
n_jets = "nJet"
leading_jet_pt = "Jet_pt[:, 0]"          # NaN where there is none
ht = "sum(Jet_pt[abs(Jet_eta) < 2.4])"

[processes.signal]
files = ["signal/*.root"]
label = 1
# cross_section = 0.05                   # weights then sum to luminosity * cross_section
# sum_weights = ["Runs", "genEventSumw"] # generated, of skimmed files: a number or tree and branch
# scale = 1.0
# weight = ["genWeight"]                 # in place of those of [input]
# selection = "nMuon >= 1"               # in place of that of [input]

[processes.background]
files = ["background/*.root"]
label = 0

[[pipeline]]                             # steps in order: estimators of skhep_ml and scikit-learn
class = "MissingValueImputer"

[[pipeline]]
class = "BDTClassifier"
n_estimators = 300
learning_rate = 0.1
# negative_weights = "refine"

[folds]
n_splits = 5                             # models; each event is scored by one that never saw it
# salt = 0
# validation_fold = false                # give each model a fold for its early stopping

# [search]                               # in every fold, on its training events
# method = "bayes"                       # or "random", "grid"
# n_iter = 20
# n_splits = 3
# scoring = "roc_auc"
# time_limit = 3600.0                    # seconds a fold
# space = "auto"                         # or ranges and lists of values:
# [search.space]
# bdtclassifier__max_depth = {{ low = 2, high = 8 }}
# bdtclassifier__learning_rate = {{ low = 0.02, high = 0.5, log = true }}

[evaluation]
scoring = ["roc_auc", {{ name = "background_rejection", signal_efficiency = 0.5 }}]

[output]
folder = "skhep-ml-output"
# report = true                          # report.html
# signal = 1                             # of the report, where there are more than two labels
# onnx = false                           # model.onnx
# scores = "friend"                      # trees beside the files; or "copy" of the files, "none"
# branch = "score"
"""


def template(name: str) -> str:
    """Text of an example file of this name."""
    return TEMPLATE.format(name=name)
