// What each rule must find. Never run, and left out of the pipeline's scan.
import child_process from 'node:child_process';

export function bad(name) {
  child_process.exec(`ls ${name}`);
  child_process.execSync(`ls ${name}`);
  eval(name);
}
