/** Who is signed in. The token is kept in the browser's storage until its owner signs out or the backend forgets it. */
import { createContext, useCallback, useContext, useEffect, useMemo, useState } from 'react';
import type { ReactNode } from 'react';
import { createClient } from '../api/client';
import type { Client } from '../api/client';
import type { Session, User } from '../api/types';
import { useToast } from './toasts';

export const STORED = 'omnilife.session';

interface SessionValue {
  user: User | null;
  client: Client;
  signIn: (session: Session) => void;
  signOut: () => void;
}

const SessionContext = createContext<SessionValue | null>(null);

export function SessionProvider({ children }: { children: ReactNode }) {
  const toast = useToast();
  const [session, setSession] = useState(stored);

  const signIn = useCallback((next: Session) => {
    localStorage.setItem(STORED, JSON.stringify(next));
    setSession(next);
  }, []);
  const forget = useCallback(() => {
    localStorage.removeItem(STORED);
    setSession(null);
  }, []);
  useEffect(() => {
    // Signing in or out in one window does so in all of them.
    const onStorage = (event: StorageEvent) => { if (event.key === STORED || event.key === null) setSession(stored()); };
    addEventListener('storage', onStorage);
    return () => removeEventListener('storage', onStorage);
  }, []);

  const token = session?.token ?? null;
  const client = useMemo(
    () =>
      createClient({
        token,
        onSignedOut() {
          forget();
          toast({ kind: 'note', text: 'You have been signed out. Please sign in again.' });
        },
      }),
    [token, forget, toast],
  );
  const user = session?.user ?? null;
  const value = useMemo(
    () => ({
      user,
      client,
      signIn,
      signOut() {
        // Whoever signs out is signed out here, whether the backend hears of it or not.
        client.signOut().catch(() => undefined);
        forget();
      },
    }),
    [user, client, signIn, forget],
  );
  return <SessionContext.Provider value={value}>{children}</SessionContext.Provider>;
}

export function useSession(): SessionValue {
  const value = useContext(SessionContext);
  if (value === null) throw new Error('useSession outside of SessionProvider');
  return value;
}

function stored(): Session | null {
  try {
    const value: unknown = JSON.parse(localStorage.getItem(STORED) ?? 'null');
    return isSession(value) ? value : null;
  } catch {
    return null;
  }
}

function isSession(value: unknown): value is Session {
  if (typeof value !== 'object' || value === null) return false;
  const { token, user } = value as Partial<Session>;
  return typeof token === 'string' && typeof user?.name === 'string';
}
