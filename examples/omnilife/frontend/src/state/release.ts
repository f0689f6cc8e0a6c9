/** Which release answers, as the server that gave us this page says it. */
import { useEffect, useState } from 'react';

const SHORT = 7;

export function useRelease(): string | null {
  const [release, setRelease] = useState<string | null>(null);
  useEffect(() => {
    let wanted = true;
    askRelease().then((name) => { if (wanted) setRelease(name); }, () => undefined);
    return () => { wanted = false; };
  }, []);
  return release;
}

async function askRelease(): Promise<string | null> {
  const response = await fetch('/version', { headers: { Accept: 'application/json' } });
  if (!response.ok) return null;
  const said: unknown = await response.json();
  const revision = typeof said === 'object' && said !== null && 'revision' in said ? said.revision : null;
  return typeof revision === 'string' && revision !== '' ? revision.slice(0, SHORT) : null;
}
