/** What the backend finds among habits and notes. The words are in the address, so a search can be kept and shared. */
import { useEffect, useState } from 'react';
import { messageOf } from '../api/client';
import type { Hit } from '../api/types';
import { Icon } from '../components/Icon';
import { Page } from '../components/Page';
import { Empty, Failure, Loading } from '../components/States';
import { longDay, plural } from '../lib/days';
import { Link, useNavigation } from '../lib/router';
import { useSession } from '../state/session';

type Found = { status: 'loading' } | { status: 'failed'; message: string } | { status: 'ready'; hits: readonly Hit[] };

export function Search() {
  const { query } = useNavigation();
  const { client } = useSession();
  const words = query.get('q')?.trim() ?? '';
  const [found, setFound] = useState<Found>({ status: 'loading' });
  const [tries, setTries] = useState(0);

  useEffect(() => {
    if (words === '') return undefined;
    const control = new AbortController();
    setFound({ status: 'loading' });
    client.search(words, control.signal).then(
      (hits) => setFound({ status: 'ready', hits }),
      (error: unknown) => { if (!control.signal.aborted) setFound({ status: 'failed', message: messageOf(error) }); },
    );
    return () => control.abort();
  }, [client, words, tries]);

  if (words === '') {
    return <Page title="Search"><Empty title="Search your habits and notes"><p>Type a word into the field above.</p></Empty></Page>;
  }
  return (
    <Page title={`“${words}”`}>
      {found.status === 'loading' && <Loading what="what was found" />}
      {found.status === 'failed' && <Failure message={found.message} again={() => setTries((count) => count + 1)} />}
      {found.status === 'ready' && <Hits hits={found.hits} />}
    </Page>
  );
}

function Hits({ hits }: { hits: readonly Hit[] }) {
  if (hits.length === 0) {
    return <Empty title="Nothing found"><p>Neither a habit nor a note has these words.</p></Empty>;
  }
  return (
    <>
      <p className="legend" role="status">{plural(hits.length, 'result')}</p>
      <ul className="hits">
        {hits.map((hit) => (
          <li key={`${hit.kind} ${hit.id}`}>
            <Icon name={hit.kind === 'habit' ? 'check' : 'note'} />
            <div>
              <h2><Link to={`/habits/${hit.habit_id}`}>{hit.title}</Link></h2>
              <p>{hit.snippet}</p>
            </div>
            <span className="kind">{hit.day === null ? 'Habit' : longDay(hit.day)}</span>
          </li>
        ))}
      </ul>
    </>
  );
}
