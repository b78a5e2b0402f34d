// The start: views, then each part, then the first look at the updater.

import {startChart} from "./chart.js";
import {showClasses, startClasses} from "./classes.js";
import {startDialogs} from "./dialogs.js";
import {showFiles, startFiles} from "./files.js";
import {refresh} from "./live.js";
import {startNow} from "./now.js";
import {startRequests} from "./requests.js";
import {startTeach} from "./teach.js";
import {startTry} from "./try.js";
import {showUnsure, startUnsure} from "./unsure.js";
import {startVersions} from "./versions.js";
import {startViews} from "./views.js";

startViews({home: null, classes: showClasses, versions: null, files: () => { showUnsure(); showFiles(); }});
startNow();
startChart();
startTry();
startTeach();
startClasses();
startVersions();
startFiles();
startUnsure();
startRequests();
refresh().then(startDialogs);
