/** Signing up and signing in: the two doors, with the same few words about what is behind them. */
import type { ReactNode } from 'react';
import { Field } from '../components/Field';
import { Page } from '../components/Page';
import { textOf, useSubmit } from '../components/useSubmit';
import { Link, useNavigation } from '../lib/router';
import { useSession } from '../state/session';

export function SignUp() {
  const { client, signIn } = useSession();
  const { navigate } = useNavigation();
  const { busy, problem, fields, onSubmit } = useSubmit(async (form) => {
    signIn(await client.signUp(textOf(form, 'name'), textOf(form, 'email'), passwordOf(form)));
    navigate('/', { replace: true });
  });
  return (
    <Door title="Create your account">
      <form onSubmit={onSubmit}>
        <Field label="Name" name="name" required maxLength={80} autoComplete="name" error={fields['name']} />
        <Field label="Email" name="email" type="email" required autoComplete="email" error={fields['email']} />
        <Field label="Password" name="password" type="password" required minLength={8} maxLength={200} autoComplete="new-password" hint="At least 8 characters." error={fields['password']} />
        {problem && <p className="problem" role="alert">{problem}</p>}
        <button type="submit" className="main" disabled={busy}>{busy ? 'One moment…' : 'Create account'}</button>
      </form>
      <p>You have an account? <Link to="/signin">Sign in</Link></p>
    </Door>
  );
}

export function SignIn() {
  const { client, signIn } = useSession();
  const { navigate, path } = useNavigation();
  const { busy, problem, fields, onSubmit } = useSubmit(async (form) => {
    signIn(await client.signIn(textOf(form, 'email'), passwordOf(form)));
    // Whoever was sent here from another page stays on that page.
    if (path === '/signin') navigate('/', { replace: true });
  });
  return (
    <Door title="Sign in">
      <form onSubmit={onSubmit}>
        <Field label="Email" name="email" type="email" required autoComplete="email" error={fields['email']} />
        <Field label="Password" name="password" type="password" required autoComplete="current-password" error={fields['password']} />
        {problem && <p className="problem" role="alert">{problem}</p>}
        <button type="submit" className="main" disabled={busy}>{busy ? 'One moment…' : 'Sign in'}</button>
      </form>
      <p>New here? <Link to="/signup">Create an account</Link></p>
    </Door>
  );
}

function Door({ title, children }: { title: string; children: ReactNode }) {
  return (
    <div className="door">
      <div className="pitch">
        <p className="claim">Small things,<br />day after day.</p>
        <p>OmniLife keeps the habits you care about in sight: one tap when it is done, a streak that grows, thirty days at a glance.</p>
        <div className="sample" aria-hidden="true">
          {SAMPLE.map((row, index) => (
            <div key={index} className="strip" style={{ '--habit': row.color }}>
              {[...row.days].map((mark, day) => <i key={day} className={mark === 'x' ? 'done' : ''} />)}
            </div>
          ))}
        </div>
      </div>
      <Page title={title} className="card">{children}</Page>
    </div>
  );
}

const SAMPLE = [
  { color: '#2f7d5b', days: 'x.xx.xxxx.xxxxxxxx.xxxxxxxxxxx' },
  { color: '#2f6feb', days: '...x..x..xx..x.xx.xxx.xx.xxxx.' },
  { color: '#b4562c', days: '.......x..xx.xxx.xxxx.xxxxxxxx' },
];

/** A password is what was typed, spaces and all. */
function passwordOf(form: FormData): string {
  const value = form.get('password');
  return typeof value === 'string' ? value : '';
}
