// What every page loads: each module does nothing where its part of the page is not there.
import "./time.js";
import "./live.js";
import "./chart.js";
import "./log.js";
import "./form.js";
import "./palette.js";
import "./keys.js";
import "./copy.js";
import "./prefetch.js";
