// What each rule must find. Never built, and left out of the pipeline's scan.
export function Bad({ text }: { text: string }) {
  document.body.innerHTML = text;
  document.write(text);
  eval(text);
  new Function(text);
  return <p dangerouslySetInnerHTML={{ __html: text }} />;
}
